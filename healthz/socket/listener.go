package socket

import (
	"errors"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Listener is a listening socket.
type Listener struct{ file *os.File }

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
	if _, local := sa.(*unix.SockaddrUnix); !local {
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
	file := os.NewFile(uintptr(fd), "")
	if err := file.SetDeadline(time.Time{}); err != nil { // epoll has not taken it: Accept could not wait
		file.Close()
		return nil, plain(err)
	}
	return &Listener{file}, nil
}

// Accept waits for the next connection. After Close the error is os.ErrClosed.
func (l *Listener) Accept() (*Conn, error) {
	raw, err := l.file.SyscallConn()
	if err != nil {
		return nil, err
	}
	fd := -1
	waitErr := raw.Read(func(listener uintptr) bool {
		fd, err = accept(int(listener))
		return err != unix.EAGAIN
	})
	if waitErr != nil {
		return nil, os.ErrClosed // there is no deadline: nothing else ends the wait
	}
	if err != nil {
		return nil, os.NewSyscallError("accept4", err)
	}
	return &Conn{os.NewFile(uintptr(fd), "")}, nil
}

// accept is accept4(2) without asking for the peer's address.
func accept(listener int) (int, error) {
	for {
		fd, _, errno := unix.Syscall6(unix.SYS_ACCEPT4, uintptr(listener), 0, 0, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0, 0)
		switch errno {
		case 0:
			return int(fd), nil
		case unix.EINTR, unix.ECONNABORTED: // the latter is a connection that has gone already
		default:
			return -1, errno
		}
	}
}

// Close makes every Accept return.
func (l *Listener) Close() error { return l.file.Close() }

// Addr is where it listens, with the port that 0 has become; not valid for a socket without a port.
func (l *Listener) Addr() (addr netip.AddrPort) {
	raw, err := l.file.SyscallConn()
	if err != nil {
		return
	}
	raw.Control(func(fd uintptr) {
		sa, _ := unix.Getsockname(int(fd))
		switch sa := sa.(type) {
		case *unix.SockaddrInet4:
			addr = netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), uint16(sa.Port))
		case *unix.SockaddrInet6:
			addr = netip.AddrPortFrom(netip.AddrFrom16(sa.Addr), uint16(sa.Port))
		}
	})
	return
}
