package notify

import (
	"os"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"usher/signals"
	"usher/signals/entry"
)

// Socket is the socket of an app's NOTIFY_SOCKET.
type Socket struct {
	_       [0]func() // sockets are never compared, so no code is generated for it
	file    *os.File
	place   place
	buf     [maxDatagram]byte
	control credentials
	cut     bool // the datagram has descriptors, which do not fit into control
}

// credentials holds the kernel's message about a sender (cmsg(3)), and has room
// for nothing else.
type credentials struct {
	header unix.Cmsghdr
	sender unix.Ucred
}

const (
	// maxDatagram is systemd's own limit (NOTIFY_BUFFER_MAX).
	maxDatagram = 4096
	// closeTime is how long the kernel may wait when it closes descriptors.
	closeTime = time.Millisecond
)

// Listen creates a socket that the processes of w can reach.
func Listen(w Where) (*Socket, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	s := &Socket{}
	if err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_PASSCRED, 1); err == nil {
		err = s.place.bind(fd, w)
	}
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	s.file = os.NewFile(uintptr(fd), "")
	if err = s.file.SetDeadline(time.Time{}); err != nil { // epoll has refused it, so Receive could not wait
		s.Close()
		return nil, err
	}
	return s, nil
}

// Name returns the value of NOTIFY_SOCKET. An abstract name begins with @.
func (s *Socket) Name() string { return s.place.name }

// Receive waits for a datagram and returns it, with its sender. The datagram is
// valid until the next call. A pid of 0 is a process that this PID namespace
// cannot see. For a datagram longer than maxDatagram, nothing is returned. The
// caller has to call done before the next Receive, after it has dealt with the
// datagram: the sender of BARRIER=1 waits for that.
//
// Every process that knows the name may send descriptors, and closing one can
// take as long as its owner likes (SO_LINGER). So Receive takes none. It reads
// the datagram in the queue, where the descriptors stay, and done makes the
// kernel drop both.
func (s *Socket) Receive() (datagram []byte, sender unix.Ucred, done func(), err error) {
	iov := unix.Iovec{Base: &s.buf[0]}
	iov.SetLen(len(s.buf))
	h := unix.Msghdr{Iov: &iov, Control: (*byte)(unsafe.Pointer(&s.control))}
	h.SetIovlen(1)
	h.SetControllen(int(unsafe.Sizeof(s.control)))
	n := 0
	if waitErr := s.read(func(fd uintptr) bool {
		n, err = receive(fd, &h, unix.MSG_PEEK)
		return err != unix.EAGAIN
	}); waitErr != nil {
		return nil, sender, nil, os.ErrClosed
	}
	if err != nil {
		return nil, sender, nil, err
	}
	c := &s.control.header
	if int(h.Controllen) >= unix.CmsgLen(unix.SizeofUcred) &&
		c.Level == unix.SOL_SOCKET && c.Type == unix.SCM_CREDENTIALS {
		sender = s.control.sender
	}
	if h.Flags&unix.MSG_TRUNC != 0 { // a line that was cut short could have another meaning
		n = 0
	}
	s.cut = h.Flags&unix.MSG_CTRUNC != 0
	return s.buf[:n], sender, s.drop, nil
}

// drop removes the datagram that Receive has returned from the queue.
func (s *Socket) drop() {
	_ = s.read(func(fd uintptr) bool {
		drop := func() { _, _ = receive(fd, &unix.Msghdr{}, 0) }
		if s.cut {
			signals.Interrupt(closeTime, drop)
		} else {
			drop()
		}
		return true
	})
}

// read calls f until it returns true, each time that there may be something to
// read.
func (s *Socket) read(f func(fd uintptr) bool) error {
	raw, err := s.file.SyscallConn()
	if err == nil {
		err = raw.Read(f)
	}
	return err
}

// receive is recvmsg(2). unix.Recvmsg is larger, because it knows all families.
func receive(fd uintptr, h *unix.Msghdr, flags uintptr) (int, error) {
	for {
		n, _, errno := unix.Syscall(unix.SYS_RECVMSG, fd, uintptr(unsafe.Pointer(h)), flags|unix.MSG_DONTWAIT)
		switch errno {
		case 0:
			return int(n), nil
		case unix.EINTR:
		default:
			return 0, errno
		}
	}
}

// Close makes Receive return, and removes the socket's path.
func (s *Socket) Close() {
	s.place.remove()
	s.file.Close()
}

// Send sends a datagram to the socket of a NOTIFY_SOCKET. It does not wait for
// room.
func Send(name string, datagram []byte) error {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	to := &unix.SockaddrUnix{Name: name}
	if err = unix.Sendto(fd, datagram, unix.MSG_NOSIGNAL, to); err == unix.EACCES {
		entry.Raise()
		err = unix.Sendto(fd, datagram, unix.MSG_NOSIGNAL, to)
		entry.Restore()
	}
	return err
}
