package signals

import "golang.org/x/sys/unix"

// NotifyReadable makes a pipe non-blocking. It asks the kernel to send SIGCHLD
// to this process, whose pid is self, when the pipe can be read or has no
// writer any more. If the kernel can't send SIGCHLD for that, asked is false,
// and the caller has to poll the pipe: the kernel would send SIGIO, which is
// for the app.
func NotifyReadable(fd, self int) (asked bool, err error) {
	flags := unix.O_NONBLOCK
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_SETOWN, self); err == nil {
		if _, err = unix.FcntlInt(uintptr(fd), unix.F_SETSIG, int(unix.SIGCHLD)); err == nil {
			asked = true
			flags |= unix.O_ASYNC
		}
	}
	_, err = unix.FcntlInt(uintptr(fd), unix.F_SETFL, flags)
	return asked, err
}
