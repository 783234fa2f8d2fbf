package signals

import (
	"fmt"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

var pollerOpen bool

// OpenPoller has the runtime open the two descriptors that goroutines wait with, for timers and sockets. It would else do that when it first needs
// them, and die if it can't have them: there may be none left by then, or a filter of system calls in the way. It is for the loop's goroutine.
func OpenPoller() error {
	if pollerOpen {
		return nil
	}
	if call, errno := tryPoller(); errno != 0 {
		return fmt.Errorf("no timers can be had: %s: %w", call, errno)
	}
	// A timer with a channel would not do: since Go 1.23 it is none for the runtime before a goroutine waits for it.
	time.AfterFunc(time.Hour, func() {}).Stop()
	pollerOpen = true
	return nil
}

// tryPoller does what the runtime is about to do, which can't report an error. It returns the last call, and its.
func tryPoller() (call string, errno unix.Errno) {
	fd, _, errno := unix.RawSyscall(unix.SYS_EPOLL_CREATE1, unix.EPOLL_CLOEXEC, 0, 0)
	if errno != 0 {
		return "epoll_create1", errno
	}
	call = "eventfd2"
	event, _, errno := unix.RawSyscall(unix.SYS_EVENTFD2, 0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK, 0)
	if errno == 0 {
		call = "epoll_ctl"
		e := unix.EpollEvent{Events: unix.EPOLLIN}
		if _, _, errno = unix.RawSyscall6(unix.SYS_EPOLL_CTL, fd, unix.EPOLL_CTL_ADD, event, uintptr(unsafe.Pointer(&e)), 0, 0); errno == 0 {
			call = "epoll_pwait"
			_, _, errno = unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, fd, uintptr(unsafe.Pointer(&e)), 1, 0, 0, 0)
		}
		unix.Close(int(event))
	}
	unix.Close(int(fd))
	return call, errno
}
