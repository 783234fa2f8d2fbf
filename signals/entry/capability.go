package entry

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// usher runs without capabilities, except for the short moments in which
// package supervisor raises them. Each thread has capabilities of its own, and
// a new thread inherits those of the thread that makes it. So usher lowers them
// before it has a second thread, if it began at entry. In other builds (Go's
// own entry point, the race detector), the few threads that the runtime has
// made by then keep theirs.
//
// Only the effective set is lowered. execve(2) computes the app's capabilities
// without it (capabilities(7)). To lower the permitted set as well would
// protect no better: root gets the whole set back at its next execve. And the
// app could see it: the kernel takes the set that returns for a gain of
// privileges. Then it writes no core dumps and forgets personality(2); under
// no_new_privs it gives nothing back.

// capabilities are a thread's sets, in the format of capget(2).
type capabilities [2]unix.CapUserData

var (
	given     capabilities // at usher's start
	isLowered bool
	header    = unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
)

const kill = 1 << unix.CAP_KILL

// Lower takes all capabilities but CAP_KILL from the calling thread and from
// the threads that it will make. usher keeps CAP_KILL because the app may run
// as another user. Lower needs no Go runtime (early.go). A second call does
// nothing.
//
//go:nosplit
//go:norace
func Lower() {
	if isLowered || !given.get() || given[0].Effective&^kill|given[1].Effective == 0 {
		return
	}
	isLowered = given.set(uint64(given[0].Effective & kill))
}

// Raise gives the calling thread all capabilities that usher was started with,
// and locks the goroutine to the thread, until Restore. Until then the caller
// must do nothing for which the runtime makes a thread, and must not call Raise
// again.
//
//go:noinline
func Raise() {
	if isLowered {
		LockThread()
		given.set(given.effective())
	}
}

// Restore undoes Raise.
//
//go:noinline
func Restore() {
	if isLowered {
		given.set(uint64(given[0].Effective & kill))
		UnlockThread()
	}
}

func (c *capabilities) effective() uint64 { return uint64(c[1].Effective)<<32 | uint64(c[0].Effective) }

//go:nosplit
//go:norace
func (c *capabilities) get() bool {
	_, _, errno := syscall.RawSyscall6(unix.SYS_CAPGET,
		uintptr(unsafe.Pointer(&header)), uintptr(unsafe.Pointer(c)), 0, 0, 0, 0)
	return errno == 0
}

// set sets c, with another effective set, for the calling thread.
//
//go:nosplit
//go:norace
func (c *capabilities) set(effective uint64) bool {
	with := *c
	with[0].Effective, with[1].Effective = uint32(effective), uint32(effective>>32)
	_, _, errno := syscall.RawSyscall6(unix.SYS_CAPSET,
		uintptr(unsafe.Pointer(&header)), uintptr(unsafe.Pointer(&with)), 0, 0, 0, 0)
	return errno == 0
}
