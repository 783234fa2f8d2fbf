package signals

import (
	"fmt"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

var pollerOpen bool

// OpenPoller makes the runtime open the two descriptors that it needs for
// timers and sockets. Otherwise the runtime would open them at their first use,
// and die if it could not: there may be none left by then, or a filter of
// system calls in the way. Call it on the loop's goroutine.
func OpenPoller() error {
	if pollerOpen {
		return nil
	}
	if call, errno := tryPoller(); errno != 0 {
		return fmt.Errorf("the Go runtime cannot have timers: %s: %w", call, errno)
	}
	// A timer with a channel would not do: since Go 1.23 the runtime starts it only
	// when a goroutine waits for it.
	time.AfterFunc(time.Hour, func() {}).Stop()
	pollerOpen = true
	return nil
}

// tryPoller makes the system calls that the runtime is about to make, because
// the runtime cannot report an error. It returns the last call, and its error.
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
		_, _, errno = unix.RawSyscall6(unix.SYS_EPOLL_CTL, fd, unix.EPOLL_CTL_ADD, event,
			uintptr(unsafe.Pointer(&e)), 0, 0)
		if errno == 0 {
			call = "epoll_pwait"
			_, _, errno = unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, fd, uintptr(unsafe.Pointer(&e)), 1, 0, 0, 0)
		}
		unix.Close(int(event))
	}
	unix.Close(int(fd))
	return call, errno
}
