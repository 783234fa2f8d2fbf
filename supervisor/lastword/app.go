package lastword

import (
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"

	"usher/signals/entry"
)

// App is who the app runs as, where that is another user than usher's, and not root.
type App struct {
	UID, GID uint32
	Groups   []uint32 // supplementary
}

// as calls f with the app's rights to files, and none of usher's: its user and groups (setfsuid(2)), and no capability in effect; afterwards
// it has own's. It returns false where they can't be had. All of them are the calling thread's own (credentials(7)). A thread that the Go runtime makes
// meanwhile must not have them: runtime.LockOSThread sees to that, which signals.LockThread does not.
//
// setfsuid clears the calling thread's parent death signal: as is not for the loop's thread.
func (app *App) as(own *App, f func()) bool {
	entry.Raise()
	defer entry.Restore()
	runtime.LockOSThread()
	self := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var caps [2]unix.CapUserData
	if unix.Capget(&self, &caps[0]) != nil || !app.setGroups() {
		runtime.UnlockOSThread()
		return false
	}
	none := caps
	none[0].Effective, none[1].Effective = 0, 0
	can := app.setIDs() && setCaps(&self, &none)
	noDump()
	if can {
		f()
	}
	// The rest of usher may have dropped some of them for good in between. To become root again brings back others (capabilities(7)).
	var now [2]unix.CapUserData
	_ = unix.Capget(&self, &now[0])
	for i := range now {
		now[i].Effective = now[i].Permitted & caps[i].Effective
	}
	setCaps(&self, &now)
	if own.setGroups() && own.setIDs() && setCaps(&self, &now) {
		runtime.UnlockOSThread()
	} // or nothing else runs on this thread, which ends with its goroutine
	noDump()
	return can
}

// noDump undoes what setfsuid does to the whole process: core dumps for root, where fs.suid_dumpable is 2. Another user's child that has usher's
// memory may be on its way (package supervisor's guardMemory), and before Linux 5.16 its core dump would end usher as well.
func noDump() {
	_, _, _ = unix.RawSyscall(unix.SYS_PRCTL, unix.PR_SET_DUMPABLE, 0, 0)
}

// setGroups is for this thread alone, which unix.Setgroups is not.
func (app *App) setGroups() bool {
	_, _, errno := unix.RawSyscall(sysSetgroups, uintptr(len(app.Groups)), uintptr(unsafe.Pointer(unsafe.SliceData(app.Groups))), 0)
	return errno == 0
}

// setIDs looks whether it could: the system calls do not say.
func (app *App) setIDs() bool {
	const none = 1<<32 - 1
	fsID(sysSetfsgid, app.GID)
	fsID(sysSetfsuid, app.UID)
	return fsID(sysSetfsgid, none) == app.GID && fsID(sysSetfsuid, none) == app.UID
}

//go:noinline
func fsID(trap uintptr, id uint32) uint32 {
	was, _, _ := unix.RawSyscall(trap, uintptr(id), 0, 0)
	return uint32(was)
}

//go:noinline
func setCaps(self *unix.CapUserHeader, caps *[2]unix.CapUserData) bool {
	_, _, errno := unix.RawSyscall(unix.SYS_CAPSET, uintptr(unsafe.Pointer(self)), uintptr(unsafe.Pointer(caps)), 0)
	return errno == 0
}
