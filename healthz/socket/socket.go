// Package socket listens, accepts and connects without package net, whose
// resolver and dialer are large (cmd/usher/guard_test.go). It uses the kernel's
// sockets as os.File, which the runtime polls and gives deadlines.
package socket

import (
	"context"
	"encoding/binary"
	"net/netip"
	"os"
	"strconv"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"usher/internal/contexts"
)

// Conn is a connected socket. Its methods are those of os.File, but return the
// plain error: os.ErrDeadlineExceeded, os.ErrClosed, or the kernel's.
type Conn struct{ file *os.File }

func (c *Conn) Read(b []byte) (int, error) {
	n, err := c.file.Read(b)
	return n, plain(err)
}

func (c *Conn) Write(b []byte) (int, error) {
	n, err := c.file.Write(b)
	return n, plain(err)
}

func plain(err error) error {
	if e, ok := err.(*os.PathError); ok { // it speaks of a path, and a socket has none
		return e.Err
	}
	return err
}

func (c *Conn) Close() error                       { return c.file.Close() }
func (c *Conn) SetDeadline(t time.Time) error      { return c.file.SetDeadline(t) }
func (c *Conn) SetReadDeadline(t time.Time) error  { return c.file.SetReadDeadline(t) }
func (c *Conn) SetWriteDeadline(t time.Time) error { return c.file.SetWriteDeadline(t) }

// Address returns an IP and a port as the kernel's address. Without a valid IP,
// it is the address of every interface.
func Address(ip netip.Addr, port uint16) (unix.Sockaddr, error) {
	if ip.Is4() {
		return &unix.SockaddrInet4{Port: int(port), Addr: ip.As4()}, nil
	}
	sa := &unix.SockaddrInet6{Port: int(port)}
	if ip.IsValid() {
		sa.Addr = ip.As16()
	}
	if zone := ip.Zone(); zone != "" {
		n, err := interfaceIndex(zone)
		if err != nil {
			return nil, err
		}
		sa.ZoneId = n
	}
	return sa, nil
}

// interfaceIndex returns the index of a network interface, given as its name or
// its index (RFC 4007 11.2).
func interfaceIndex(zone string) (uint32, error) {
	if n, err := strconv.ParseUint(zone, 10, 32); err == nil {
		return uint32(n), nil
	}
	ifr, err := unix.NewIfreq(zone)
	if err != nil {
		return 0, unix.ENODEV
	}
	fd, err := unix.Socket(unix.AF_INET6, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, os.NewSyscallError("socket", err)
	}
	defer unix.Close(fd)
	if err := unix.IoctlIfreq(fd, unix.SIOCGIFINDEX, ifr); err != nil {
		return 0, err
	}
	return ifr.Uint32(), nil
}

// open makes a socket of sa's family: non-blocking, closed on exec.
func open(sa unix.Sockaddr, kind int) (int, error) {
	family := unix.AF_INET6
	switch sa.(type) {
	case *unix.SockaddrInet4:
		family = unix.AF_INET
	case *unix.SockaddrUnix:
		family = unix.AF_UNIX
	}
	fd, err := unix.Socket(family, kind|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, os.NewSyscallError("socket", err)
	}
	if family == unix.AF_UNIX {
		refuseRights(fd)
	}
	return fd, nil
}

// local returns the address of a socket's own end. It is not valid if the
// address has no port. unix.Getsockname is larger, because it knows all
// families.
func local(fd int) netip.AddrPort {
	var sa [unix.SizeofSockaddrInet6]byte // ip(7), ipv6(7): family, port, IPv6's flow label, address
	size := uint32(len(sa))
	unix.RawSyscall(unix.SYS_GETSOCKNAME, uintptr(fd), uintptr(unsafe.Pointer(&sa)), uintptr(unsafe.Pointer(&size)))
	port := binary.BigEndian.Uint16(sa[2:])
	switch binary.NativeEndian.Uint16(sa[:]) {
	case unix.AF_INET:
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte(sa[4:])), port)
	case unix.AF_INET6:
		return netip.AddrPortFrom(netip.AddrFrom16([16]byte(sa[8:])), port)
	}
	return netip.AddrPort{}
}

// Dial connects to sa with a socket of kind unix.SOCK_STREAM or SOCK_DGRAM,
// until ctx ends; then the error is os.ErrDeadlineExceeded. The deadline stays
// on the connection. If ports is not nil, it remembers the local port.
func Dial(ctx context.Context, sa unix.Sockaddr, kind int, ports *Ports) (*Conn, error) {
	fd, err := open(sa, kind)
	if err != nil {
		return nil, err
	}
	if ports != nil {
		ports.note(fd, sa)
	}
	c := &Conn{os.NewFile(uintptr(fd), "")}
	if deadline, limited := ctx.Deadline(); limited {
		c.SetDeadline(deadline)
	}
	stop := contexts.AfterFunc(ctx, func() { c.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	raw, err := c.file.SyscallConn()
	if err == nil {
		// The second connect(2), after the socket has become writable, returns
		// EALREADY, EISCONN, or the error of the connection.
		waitErr := raw.Write(func(fd uintptr) bool {
			err = unix.Connect(int(fd), sa)
			return err != unix.EINPROGRESS && err != unix.EALREADY && err != unix.EINTR
		})
		if err == unix.EISCONN {
			err = nil
		}
		if waitErr != nil {
			err = waitErr
		}
	}
	if err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}
