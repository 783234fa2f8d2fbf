package socket

import (
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"
)

// The client's port is known before the server can see it, and for a while.
func TestPorts(t *testing.T) {
	for name, ip := range map[string]netip.Addr{"IPv4": netip.AddrFrom4([4]byte{127, 0, 0, 1}), "IPv6": netip.IPv6Loopback()} {
		t.Run(name, func(t *testing.T) {
			sa, err := Address(ip, 0)
			if err != nil {
				t.Fatal(err)
			}
			l, err := Listen(sa)
			if err != nil {
				t.Skip(err)
			}
			defer l.Close()
			to, _ := Address(ip, l.Addr().Port())
			var ports Ports
			if ports.Has(0) || ports.Has(l.Addr().Port()) {
				t.Error("there are ports before there are connections")
			}
			var first uint16
			for i := range len(ports.last) + 1 {
				c, err := Dial(t.Context(), to, unix.SOCK_STREAM, &ports)
				if err != nil {
					t.Fatal(err)
				}
				server := accept1(t, l)
				port := peer(t, server)
				if !ports.Has(port) {
					t.Fatalf("port %d is not known", port)
				}
				if i == 0 {
					first = port
				}
				c.Close()
				server.Close()
			}
			if ports.Has(first) {
				t.Error("the first port is still known")
			}
			c, err := Dial(t.Context(), to, unix.SOCK_STREAM, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			server := accept1(t, l)
			defer server.Close()
			if ports.Has(peer(t, server)) {
				t.Error("noted without being asked")
			}
		})
	}
}

func peer(t *testing.T, c *Conn) (port uint16) {
	t.Helper()
	raw, err := c.file.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	raw.Control(func(fd uintptr) {
		switch sa, _ := unix.Getpeername(int(fd)); sa := sa.(type) {
		case *unix.SockaddrInet4:
			port = uint16(sa.Port)
		case *unix.SockaddrInet6:
			port = uint16(sa.Port)
		}
	})
	return port
}
