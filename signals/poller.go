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
	if err := tryPoller(); err != nil {
		return fmt.Errorf("no timers can be had: %w", err)
	}
	// A timer with a channel would not do: since Go 1.23 it is none for the runtime before a goroutine waits for it.
	time.AfterFunc(time.Hour, func() {}).Stop()
	pollerOpen = true
	return nil
}

// tryPoller does what the runtime is about to do, which can't report an error.
func tryPoller() error {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return fmt.Errorf("epoll_create1: %w", err)
	}
	defer unix.Close(fd)
	event, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return fmt.Errorf("eventfd2: %w", err)
	}
	defer unix.Close(event)
	if err := unix.EpollCtl(fd, unix.EPOLL_CTL_ADD, event, &unix.EpollEvent{Events: unix.EPOLLIN}); err != nil {
		return fmt.Errorf("epoll_ctl: %w", err)
	}
	var e unix.EpollEvent
	if _, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(fd), uintptr(unsafe.Pointer(&e)), 1, 0, 0, 0); errno != 0 {
		return fmt.Errorf("epoll_pwait: %w", errno)
	}
	return nil
}
