package socket

import (
	"errors"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A client of a unix socket can send descriptors along with its data
// (SCM_RIGHTS). The kernel closes the descriptors that the receiver does not
// take, in the system call that reads their data or closes the socket. If such
// a descriptor is a TCP connection with unsent data and SO_LINGER, that call
// waits for as long as the sender likes. From Linux 6.16 on, a socket can
// refuse descriptors. For older kernels there are ReceiveGuarded and
// CloseGuarded.

// refuseRights makes a unix socket, and the connections that it accepts, refuse
// descriptors. It reports whether the kernel can do that.
func refuseRights(fd int) bool {
	return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_PASSRIGHTS, 0) == nil
}

// ErrRights is the error of ReceiveGuarded after descriptors have come.
var ErrRights = errors.New("the client sends descriptors")

// ReceiveGuarded is Receive, but leaves data unread that came with descriptors.
// Such a socket cannot be closed without the risk of waiting.
func ReceiveGuarded(fd int, b []byte) (int, error) {
	// Otherwise a byte of MSG_OOB, which can have descriptors as well, would be
	// invisible to the peek, and a read would throw it away.
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_OOBINLINE, 1)
	iov := unix.Iovec{Base: unsafe.SliceData(b)}
	iov.SetLen(len(b))
	h := unix.Msghdr{Iov: &iov}
	h.SetIovlen(1)
	const flags = unix.MSG_PEEK | unix.MSG_DONTWAIT
	n, _, errno := unix.RawSyscall(unix.SYS_RECVMSG, uintptr(fd), uintptr(unsafe.Pointer(&h)), flags)
	switch {
	case errno != 0:
		return 0, errno
	case h.Flags&unix.MSG_CTRUNC != 0: // descriptors have come, and h has no room for them
		return 0, ErrRights
	case n == 0:
		return 0, nil
	}
	return Receive(fd, b[:n]) // no more than n: newer data may have descriptors
}

// CloseGuarded closes a connection that ReceiveGuarded reads, if no descriptors
// have come. Otherwise it ends the connection, but leaves the descriptor open.
// The end of the process closes that without waiting.
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
