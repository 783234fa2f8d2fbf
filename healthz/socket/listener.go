package socket

import (
	"errors"
	"net/netip"
	"os"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Listener is a listening socket.
type Listener struct {
	mu sync.Mutex // Close may come while another goroutine accepts
	fd int        // -1: closed

	watched bool // by a poller
	rights  bool // its clients can send descriptors: rights.go
}

// backlog is the most that listen(2) takes; the kernel lowers it to net.core.somaxconn.
const backlog = 1<<16 - 1

// Listen listens on sa, closed on exec. Every interface's IPv6 address takes in those of IPv4, which it stands for where there is no IPv6.
func Listen(sa unix.Sockaddr) (*Listener, error) {
	l, err := listen(sa)
	if all, ok := sa.(*unix.SockaddrInet6); ok && all.Addr == [16]byte{} && (errors.Is(err, unix.EAFNOSUPPORT) || errors.Is(err, unix.EADDRNOTAVAIL)) {
		return listen(&unix.SockaddrInet4{Port: all.Port})
	}
	return l, err
}

func listen(sa unix.Sockaddr) (*Listener, error) {
	fd, err := open(sa, unix.SOCK_STREAM)
	if err != nil {
		return nil, err
	}
	_, local := sa.(*unix.SockaddrUnix)
	if !local {
		// A port whose last connections are in TIME_WAIT can be had again; connections inherit TCP_NODELAY. All of them can only
		// fail for want of IPv6, which bind says.
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
		_ = unix.SetsockoptInt(fd, unix.SOL_TCP, unix.TCP_NODELAY, 1)
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 0)
	}
	if err = os.NewSyscallError("bind", unix.Bind(fd, sa)); err == nil {
		err = os.NewSyscallError("listen", unix.Listen(fd, backlog))
	}
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	return &Listener{fd: fd, rights: local && !refuseRights(fd)}, nil
}

// Rights reports whether what it accepts needs ReceiveGuarded and
// CloseGuarded.
func (l *Listener) Rights() bool { return l.rights }

// ClientFirst has TCP connections come with their first bytes, or a second later without: who accepts one need not wait for them.
func (l *Listener) ClientFirst() {
	_ = unix.SetsockoptInt(l.fd, unix.SOL_TCP, unix.TCP_DEFER_ACCEPT, 1)
}

// Accept takes the next connection, non-blocking and closed on exec. It does not wait for one: the error is then unix.EAGAIN, after Close
// os.ErrClosed.
func (l *Listener) Accept() (fd int, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fd < 0 {
		return -1, os.ErrClosed
	}
	if fd, err = accept(l.fd); err != nil && err != unix.EAGAIN {
		if err == unix.EINVAL { // it no longer listens: somebody has had the kernel end it, as ss -K does
			_ = listenAgain(l.fd)
		}
		err = os.NewSyscallError("accept4", err)
	}
	return fd, err
}

// listenAgain has a socket listen that was shut down. What it accepted would be shut down as well but for connect(2), which to no address
// (AF_UNSPEC) makes it new; it stays bound.
func listenAgain(fd int) error {
	var none [16]byte
	unix.RawSyscall(unix.SYS_CONNECT, uintptr(fd), uintptr(unsafe.Pointer(&none)), uintptr(len(none)))
	return unix.Listen(fd, backlog)
}

// accept is accept4(2) without asking for the peer's address.
func accept(listener int) (int, error) {
	for {
		fd, _, errno := unix.RawSyscall6(unix.SYS_ACCEPT4, uintptr(listener), 0, 0, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0, 0)
		switch errno {
		case 0:
			return int(fd), nil
		case unix.EINTR, unix.ECONNABORTED: // the latter is a connection that has gone already
		default:
			return -1, errno
		}
	}
}

// Watch has the poller wait, or no longer wait, for connections, and call that id.
func (l *Listener) Watch(p *Poller, id int32, wait bool) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fd < 0 {
		return os.ErrClosed
	}
	events := uint32(0)
	if wait {
		events = unix.EPOLLIN
	}
	return p.Watch(l.fd, id, events, &l.watched)
}

// Close stops listening. It may be called again.
func (l *Listener) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fd < 0 {
		return os.ErrClosed
	}
	fd := l.fd
	l.fd = -1
	if l.rights { // what it has not accepted would be closed with it
		return unix.Shutdown(fd, unix.SHUT_RDWR)
	}
	return unix.Close(fd)
}

// Addr is where it listens, with the port that 0 has become; not valid for a socket without a port.
func (l *Listener) Addr() netip.AddrPort {
	l.mu.Lock()
	defer l.mu.Unlock()
	return local(l.fd)
}
