package signals

import (
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Interrupt calls f, and interrupts it periodically from then on. If f waits in
// a system call that a signal can interrupt, that call ends. Interrupt is for
// system calls that have no flag against waiting, such as the close of a
// descriptor that is a socket with SO_LINGER.
//
// The signal is SIGCHLD, which only means "look around". The loop gets one
// afterwards, in place of those that came meanwhile. If the kernel refuses a
// timer, Interrupt calls f all the same.
func Interrupt(every time.Duration, f func()) {
	LockThread()
	restore := unblockChild()
	event := sigevent{signo: int32(unix.SIGCHLD), notify: sigevThreadID, tid: int32(unix.Gettid())}
	interval := unix.NsecToTimespec(int64(every))
	setting := [...]unix.Timespec{interval, interval}
	var timer int32
	_, _, errno := unix.Syscall(unix.SYS_TIMER_CREATE, unix.CLOCK_MONOTONIC,
		uintptr(unsafe.Pointer(&event)), uintptr(unsafe.Pointer(&timer)))
	if errno == 0 {
		unix.Syscall6(unix.SYS_TIMER_SETTIME, uintptr(timer), 0, uintptr(unsafe.Pointer(&setting)), 0, 0, 0)
	}
	f()
	if errno == 0 {
		unix.Syscall(unix.SYS_TIMER_DELETE, uintptr(timer), 0, 0)
	}
	restore()
	UnlockThread()
	_ = unix.Kill(unix.Getpid(), unix.SIGCHLD)
}

// sigevent is the kernel's struct (sigevent(3type)), which has 64 bytes.
type sigevent struct {
	value              uintptr
	signo, notify, tid int32
	_                  [64 - 12 - unsafe.Sizeof(uintptr(0))]byte
}

// sigevThreadID sends the signal to one thread.
const sigevThreadID = 4
