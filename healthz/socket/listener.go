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
	mu sync.Mutex // other goroutines may call Close during Accept
	fd int        // -1 after Close

	watched bool // a poller watches it
	rights  bool // clients can send descriptors: rights.go
}

// backlog is the maximum for listen(2). The kernel lowers it to
// net.core.somaxconn.
const backlog = 1<<16 - 1

// Listen listens on sa. The descriptor is closed on exec. The IPv6 address of
// every interface includes IPv4, and stands for IPv4 alone if there is no IPv6.
func Listen(sa unix.Sockaddr) (*Listener, error) {
	l, err := listen(sa)
	noIPv6 := errors.Is(err, unix.EAFNOSUPPORT) || errors.Is(err, unix.EADDRNOTAVAIL)
	if all, ok := sa.(*unix.SockaddrInet6); ok && all.Addr == [16]byte{} && noIPv6 {
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
		// SO_REUSEADDR allows a port whose last connections are in TIME_WAIT.
		// Connections inherit TCP_NODELAY. All three calls can only fail because there
		// is no IPv6, and then bind reports that.
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

// Rights reports whether accepted connections need ReceiveGuarded and
// CloseGuarded.
func (l *Listener) Rights() bool { return l.rights }

// ClientFirst delays TCP connections until their first bytes have come, or for
// a second. So the server need not wait for these bytes after Accept.
func (l *Listener) ClientFirst() {
	_ = unix.SetsockoptInt(l.fd, unix.SOL_TCP, unix.TCP_DEFER_ACCEPT, 1)
}

// Accept returns the next connection, non-blocking and closed on exec. It does
// not wait: if there is none, the error is unix.EAGAIN. After Close, the error
// is os.ErrClosed.
func (l *Listener) Accept() (fd int, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fd < 0 {
		return -1, os.ErrClosed
	}
	if fd, err = accept(l.fd); err != nil && err != unix.EAGAIN {
		if err == unix.EINVAL { // the kernel has shut the socket down for an administrator: ss -K
			_ = listenAgain(l.fd)
		}
		err = os.NewSyscallError("accept4", err)
	}
	return fd, err
}

// listenAgain makes a socket listen again that was shut down. connect(2) to no
// address (AF_UNSPEC) resets its state, and leaves it bound. Without that, the
// accepted connections would be shut down as well.
func listenAgain(fd int) error {
	var none [16]byte
	unix.RawSyscall(unix.SYS_CONNECT, uintptr(fd), uintptr(unsafe.Pointer(&none)), uintptr(len(none)))
	return unix.Listen(fd, backlog)
}

// accept is accept4(2) without asking for the peer's address.
func accept(listener int) (int, error) {
	for {
		const flags = unix.SOCK_NONBLOCK | unix.SOCK_CLOEXEC
		fd, _, errno := unix.RawSyscall6(unix.SYS_ACCEPT4, uintptr(listener), 0, 0, flags, 0, 0)
		switch errno {
		case 0:
			return int(fd), nil
		case unix.EINTR, unix.ECONNABORTED: // ECONNABORTED: the client has closed the connection already
		default:
			return -1, errno
		}
	}
}

// Watch makes the poller wait for connections, or no longer wait for them.
// Their events have that id.
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
	if l.rights { // closing would also close the connections that were not accepted
		return unix.Shutdown(fd, unix.SHUT_RDWR)
	}
	return unix.Close(fd)
}

// Addr returns the address of the socket, with the port that the kernel chose
// for port 0. It is not valid for a socket without a port.
func (l *Listener) Addr() netip.AddrPort {
	l.mu.Lock()
	defer l.mu.Unlock()
	return local(l.fd)
}
