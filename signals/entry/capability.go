package entry

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Usher does without capabilities, but for short moments (package supervisor has them). They are each thread's own, and a new thread has those of
// the one that makes it. So they are lowered before there is a second thread, where usher begins here; elsewhere (Go's own start, the race
// detector) the few threads that the runtime has made by then keep them.
//
// Only the effective set is lowered. What the app is given, execve(2) computes without it (capabilities(7)). To take from the permitted set would
// protect no better, since root has all of it again with the next execve, and would show: the kernel takes that for a gain, after which it writes no
// core dumps and forgets personality(2), or, under no_new_privs, gives nothing back.

// capabilities are a thread's, as capget(2) has them.
type capabilities [2]unix.CapUserData

var (
	given     capabilities // those that usher was started with
	isLowered bool
	header    = unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
)

const kill = 1 << unix.CAP_KILL

// Lower takes from the calling thread, and those that it makes, all but CAP_KILL: the app may be another user's. It needs no Go runtime
// (early.go). A second call does nothing.
//
//go:nosplit
//go:norace
func Lower() {
	if isLowered || !given.get() || given[0].Effective&^kill|given[1].Effective == 0 {
		return
	}
	isLowered = given.set(uint64(given[0].Effective & kill))
}

// Raise gives the calling thread all that usher was started with, and locks the goroutine to it, until Restore. In between, nothing must
// make the runtime want one more thread, or raise and restore again.
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
	_, _, errno := syscall.RawSyscall6(unix.SYS_CAPGET, uintptr(unsafe.Pointer(&header)), uintptr(unsafe.Pointer(c)), 0, 0, 0, 0)
	return errno == 0
}

// set is for c with another effective set.
//
//go:nosplit
//go:norace
func (c *capabilities) set(effective uint64) bool {
	with := *c
	with[0].Effective, with[1].Effective = uint32(effective), uint32(effective>>32)
	_, _, errno := syscall.RawSyscall6(unix.SYS_CAPSET, uintptr(unsafe.Pointer(&header)), uintptr(unsafe.Pointer(&with)), 0, 0, 0, 0)
	return errno == 0
}
