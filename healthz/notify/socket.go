package notify

import (
	"os"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"usher/signals"
	"usher/signals/entry"
)

// Socket is what an app's NOTIFY_SOCKET names.
type Socket struct {
	_       [0]func() // none is compared with another: that saves the code for it
	file    *os.File
	place   place
	buf     [maxDatagram]byte
	control credentials
	cut     bool // the datagram has descriptors, for which there is no room in control
}

// credentials is what the kernel says of a sender (cmsg(3)), and has room for
// nothing else.
type credentials struct {
	header unix.Cmsghdr
	sender unix.Ucred
}

const (
	// maxDatagram is systemd's own bound (NOTIFY_BUFFER_MAX).
	maxDatagram = 4096
	// closeTime is how long the kernel may wait when it closes descriptors.
	closeTime = time.Millisecond
)

// Listen makes a socket, where Where says.
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
	if err = s.file.SetDeadline(time.Time{}); err != nil { // epoll has not taken it: Receive could not wait
		s.Close()
		return nil, err
	}
	return s, nil
}

// Name is the value of NOTIFY_SOCKET: an abstract name begins with @.
func (s *Socket) Name() string { return s.place.name }

// Receive waits for a datagram, which is good until the next call, and says who
// has sent it. A pid of 0 is a process that this PID namespace can't see. Of
// one that is longer than maxDatagram nothing is returned. The caller has to
// call done before the next Receive, when it has dealt with the datagram: that
// is what the sender of BARRIER=1 waits for.
//
// Whoever knows the name may send descriptors, and to close one can wait for as
// long as its owner likes (SO_LINGER). So none is ever taken: the datagram is
// read in the queue, where it stays with what belongs to it, and done has the
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
	if int(h.Controllen) >= unix.CmsgLen(unix.SizeofUcred) && c.Level == unix.SOL_SOCKET && c.Type == unix.SCM_CREDENTIALS {
		sender = s.control.sender
	}
	if h.Flags&unix.MSG_TRUNC != 0 { // the last line that is left could say something else
		n = 0
	}
	s.cut = h.Flags&unix.MSG_CTRUNC != 0
	return s.buf[:n], sender, s.drop, nil
}

// drop takes the datagram that Receive has returned out of the queue.
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

// read calls f, and again whenever there may be something to read, until f
// returns true.
func (s *Socket) read(f func(fd uintptr) bool) error {
	raw, err := s.file.SyscallConn()
	if err == nil {
		err = raw.Read(f)
	}
	return err
}

// receive is recvmsg(2). It is not unix.Recvmsg, which brings along all kinds
// of addresses: 25 kB.
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

// Close makes Receive return, and removes what there is of the socket.
func (s *Socket) Close() {
	s.place.remove()
	s.file.Close()
}

// Send sends a datagram to the socket that a NOTIFY_SOCKET names. It does not
// wait for room.
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
