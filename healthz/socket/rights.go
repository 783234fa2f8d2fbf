package socket

import (
	"errors"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Whoever sends over a unix socket can send descriptors along (SCM_RIGHTS).
// Those that the receiver does not take the kernel closes, in the system call
// that reads what came with them or closes the socket. If such a descriptor
// is a TCP connection with unsent data and SO_LINGER, that call waits for as
// long as the sender likes. Linux 6.16 lets a socket refuse descriptors. For
// older kernels there is ReceiveGuarded, and CloseGuarded.

// refuseRights has a unix socket, and those that it accepts, refuse
// descriptors. It reports whether the kernel can do that.
func refuseRights(fd int) bool {
	return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_PASSRIGHTS, 0) == nil
}

// ErrRights is ReceiveGuarded's where descriptors have come.
var ErrRights = errors.New("the client sends descriptors")

// ReceiveGuarded is Receive, but it leaves what came with descriptors unread.
// Such a socket cannot be closed without the risk of waiting.
func ReceiveGuarded(fd int, b []byte) (int, error) {
	// Or a byte of MSG_OOB, which can have descriptors as well, would be
	// invisible to a look and yet be thrown away by a read.
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_OOBINLINE, 1)
	iov := unix.Iovec{Base: unsafe.SliceData(b)}
	iov.SetLen(len(b))
	h := unix.Msghdr{Iov: &iov}
	h.SetIovlen(1)
	n, _, errno := unix.RawSyscall(unix.SYS_RECVMSG, uintptr(fd), uintptr(unsafe.Pointer(&h)), unix.MSG_PEEK|unix.MSG_DONTWAIT)
	switch {
	case errno != 0:
		return 0, errno
	case h.Flags&unix.MSG_CTRUNC != 0: // there was no room for them
		return 0, ErrRights
	case n == 0:
		return 0, nil
	}
	return Receive(fd, b[:n]) // what has come since may have descriptors
}

// CloseGuarded closes a connection of which ReceiveGuarded is the reader, if
// no descriptors have come. Otherwise the connection ends, but its descriptor
// stays open: the end of the process closes it without waiting.
func CloseGuarded(fd int) (closed bool) {
	_ = unix.Shutdown(fd, unix.SHUT_RDWR) // nothing more can come
	var b [1024]byte
	for {
		switch n, err := ReceiveGuarded(fd, b[:]); {
		case err == ErrRights:
			return false
		case n == 0 && err != unix.EINTR:
			unix.Close(fd)
			return true
		}
	}
}
