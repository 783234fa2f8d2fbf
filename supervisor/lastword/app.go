package lastword

import (
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"

	"usher/signals/entry"
)

// App is the user that the app runs as, if that is neither root nor usher's own
// user.
type App struct {
	UID, GID uint32
	Groups   []uint32 // supplementary
}

// as calls f with the app's rights to files and none of usher's: with the app's
// user and groups (setfsuid(2)) and no effective capability. Afterwards it
// restores own's. It returns false, without calling f, if the calling thread
// can't have the app's rights. All of these belong to the calling thread
// (credentials(7)). A thread that the Go runtime makes meanwhile must not
// inherit them: runtime.LockOSThread makes sure of that, signals.LockThread
// does not.
//
// setfsuid clears the calling thread's parent death signal, so the loop's
// thread must not call as.
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
	// The rest of usher may have dropped capabilities for good in between. When the
	// thread becomes root again, the kernel brings others back (capabilities(7)).
	var now [2]unix.CapUserData
	_ = unix.Capget(&self, &now[0])
	for i := range now {
		now[i].Effective = now[i].Permitted & caps[i].Effective
	}
	setCaps(&self, &now)
	if own.setGroups() && own.setIDs() && setCaps(&self, &now) {
		runtime.UnlockOSThread()
	} // otherwise the thread stays locked, and ends with its goroutine
	noDump()
	return can
}

// noDump undoes what setfsuid does to the whole process if fs.suid_dumpable is
// 2: it allows core dumps that root owns. A child of another user, with usher's
// memory, may be on its way to its program (guardMemory in package
// supervisor/spawn). Before Linux 5.16 a core dump of that child would end
// usher as well.
func noDump() {
	_, _, _ = unix.RawSyscall(unix.SYS_PRCTL, unix.PR_SET_DUMPABLE, 0, 0)
}

// setGroups sets the groups of the calling thread alone. unix.Setgroups sets
// those of all threads.
func (app *App) setGroups() bool {
	groups := uintptr(unsafe.Pointer(unsafe.SliceData(app.Groups)))
	_, _, errno := unix.RawSyscall(sysSetgroups, uintptr(len(app.Groups)), groups, 0)
	return errno == 0
}

// setIDs sets the thread's file system user and group. It asks for them
// afterwards, because the system calls report no failure.
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
