package socket

import (
	"context"
	"errors"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// pair returns both ends of a connection over sa, which has port 0.
func pair(t *testing.T, sa unix.Sockaddr) (client, server *Conn) {
	t.Helper()
	l, err := Listen(sa)
	if errors.Is(err, unix.EADDRNOTAVAIL) || errors.Is(err, unix.EAFNOSUPPORT) {
		t.Skipf("not on this machine: %v", err)
	} else if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	to := sa
	if _, local := sa.(*unix.SockaddrUnix); !local {
		if to, err = Address(l.Addr().Addr(), l.Addr().Port()); err != nil {
			t.Fatal(err)
		}
	}
	if client, err = Dial(t.Context(), to, unix.SOCK_STREAM, nil); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	server = accept1(t, l)
	t.Cleanup(func() { server.Close() })
	return client, server
}

// accept1 waits for a connection.
func accept1(t *testing.T, l *Listener) *Conn {
	t.Helper()
	if n, err := unix.Poll([]unix.PollFd{{Fd: int32(l.fd), Events: unix.POLLIN}}, 10_000); n != 1 {
		t.Fatalf("nobody connects: %v", err)
	}
	fd, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	return &Conn{os.NewFile(uintptr(fd), "")}
}

func TestPair(t *testing.T) {
	for name, sa := range map[string]unix.Sockaddr{
		"IPv4": &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}},
		"IPv6": &unix.SockaddrInet6{Addr: netip.IPv6Loopback().As16()},
		"unix": &unix.SockaddrUnix{Name: filepath.Join(t.TempDir(), "s")},
	} {
		t.Run(name, func(t *testing.T) {
			client, server := pair(t, sa)
			for _, c := range []*Conn{client, server} {
				raw, _ := c.file.SyscallConn()
				raw.Control(func(fd uintptr) {
					if flags, err := unix.FcntlInt(fd, unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC == 0 {
						t.Errorf("flags %#x, %v: the app would inherit it", flags, err)
					}
				})
			}
			io.WriteString(client, "ping")
			raw, _ := client.file.SyscallConn()
			raw.Control(func(fd uintptr) {
				if err := CloseWrite(int(fd)); err != nil {
					t.Error(err)
				}
			})
			if b, err := io.ReadAll(server); err != nil || string(b) != "ping" {
				t.Errorf("got %q, %v", b, err)
			}
			io.WriteString(server, "pong")
			b := make([]byte, 9)
			if n, err := client.Read(b); err != nil || string(b[:n]) != "pong" {
				t.Errorf("got %q, %v", b[:n], err)
			}
			client.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
			if _, err := client.Read(b); err != os.ErrDeadlineExceeded {
				t.Errorf("got %v", err)
			}
			client.Close()
			if _, err := client.Read(b); err != os.ErrClosed {
				t.Errorf("got %v", err)
			}
		})
	}
}

// TestEveryInterface: the address without an IP covers both families, or the
// one that is there.
func TestEveryInterface(t *testing.T) {
	sa, err := Address(netip.Addr{}, 0)
	if err != nil {
		t.Fatal(err)
	}
	l, err := Listen(sa)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, ip := range []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()} {
		to, _ := Address(ip, l.Addr().Port())
		c, err := Dial(t.Context(), to, unix.SOCK_STREAM, nil)
		if err != nil && ip.Is6() && !os.IsTimeout(err) {
			t.Skipf("no IPv6 here: %v", err)
		} else if err != nil {
			t.Fatalf("%v: %v", ip, err)
		}
		c.Close()
	}
}

// TestWithoutIPv6: in a network namespace without IPv6, every interface means
// IPv4.
func TestWithoutIPv6(t *testing.T) {
	if os.Getenv("SOCKET_TEST_NO_IPV6") == "" {
		script := `ip link set lo up; echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6 && exec "$0" -test.run=TestWithoutIPv6 -test.v`
		cmd := exec.Command("sh", "-c", script, os.Args[0])
		cmd.Env = append(os.Environ(), "SOCKET_TEST_NO_IPV6=1")
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
		if os.Getuid() != 0 {
			t.Skip("a network namespace takes root")
		}
		if out, err := cmd.CombinedOutput(); strings.Contains(string(out), "disable_ipv6:") {
			t.Skipf("no IPv6 to be switched off: %s", out)
		} else if err != nil {
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	l, err := Listen(&unix.SockaddrInet6{})
	if err != nil {
		t.Fatal(err)
	}
	c, err := Dial(t.Context(), &unix.SockaddrInet4{Port: int(l.Addr().Port()), Addr: [4]byte{127, 0, 0, 1}}, unix.SOCK_STREAM, nil)
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
}

// TestDialEnds: a connection is refused, out of time, or canceled, and no
// descriptor is left.
func TestDialEnds(t *testing.T) {
	l, err := Listen(&unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}})
	if err != nil {
		t.Fatal(err)
	}
	free, _ := Address(l.Addr().Addr(), l.Addr().Port())
	l.Close()
	if _, err := l.Accept(); err == nil || !errors.Is(err, os.ErrClosed) {
		t.Errorf("accept after Close: %v", err)
	}
	if _, err := Dial(t.Context(), free, unix.SOCK_STREAM, nil); err != unix.ECONNREFUSED {
		t.Errorf("got %v", err)
	}

	// A full queue, as of a server that hangs: the kernel drops SYNs.
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := errors.Join(unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}), unix.Listen(fd, 0)); err != nil {
		t.Fatal(err)
	}
	full, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	timeout := func(d time.Duration) (*Conn, error) {
		ctx, cancel := context.WithTimeout(t.Context(), d)
		defer cancel()
		return Dial(ctx, full, unix.SOCK_STREAM, nil)
	}
	for range 10 {
		c, err := timeout(50 * time.Millisecond)
		if err == nil {
			defer c.Close()
			continue
		}
		if err != os.ErrDeadlineExceeded {
			t.Errorf("got %v", err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(20*time.Millisecond, cancel)
		if _, err := Dial(ctx, full, unix.SOCK_STREAM, nil); err != os.ErrDeadlineExceeded {
			t.Errorf("cancelled: %v", err)
		}
		return
	}
	t.Skip("this kernel's listen queues do not fill up")
}

// TestZone: an interface is found by its name or its index.
func TestZone(t *testing.T) {
	byName, err := Address(netip.MustParseAddr("fe80::1%lo"), 1)
	if err != nil {
		t.Fatal(err)
	}
	byIndex, err := Address(netip.MustParseAddr("fe80::1%1"), 1)
	if err != nil {
		t.Fatal(err)
	}
	if n := byName.(*unix.SockaddrInet6).ZoneId; n == 0 || n != byIndex.(*unix.SockaddrInet6).ZoneId {
		t.Errorf("lo is %d", n)
	}
	for _, zone := range []string{"nosuch0", "a-name-that-no-interface-can-have"} {
		if _, err := Address(netip.MustParseAddr("fe80::1%"+zone), 1); err != unix.ENODEV {
			t.Errorf("%s: %v", zone, err)
		}
	}
}
