package traffic

import (
	"io"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// newNamespace gives the test a network namespace of its own, with a loopback
// interface and nothing else in it. The thread is the test's until it ends, and
// then thrown away.
func newNamespace(t testing.TB) {
	t.Helper()
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Skipf("no network namespace can be made here: %v", err)
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	ifr, err := unix.NewIfreq("lo")
	if err != nil {
		t.Fatal(err)
	}
	ifr.SetUint16(unix.IFF_UP)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, ifr); err != nil {
		t.Fatal(err)
	}
}

// The two ways to see, and the addresses to be seen.
var (
	sources = []struct {
		name string
		open func(t testing.TB, w *Watcher)
	}{
		{"sock_diag", func(t testing.TB, w *Watcher) {
			if fallback, err := w.Open(); fallback != nil || err != nil {
				t.Fatal(fallback, err)
			}
			t.Cleanup(w.Close)
		}},
		{"proc", func(t testing.TB, w *Watcher) {
			w.source = &proc{dir: "/proc/thread-self/net/"} // /proc/net is the main thread's
			look(t, w)
		}},
	}
	families = []struct{ name, listen, dial string }{
		{"IPv4", "0.0.0.0:0", "127.0.0.1"},
		{"IPv6", "[::1]:0", "::1"},
		{"IPv4 on IPv6", "[::]:0", "127.0.0.1"},
	}
)

// each runs a test for both sources and all families.
func each(t *testing.T, f func(t *testing.T, w *Watcher, s *server)) {
	for _, src := range sources {
		for _, family := range families {
			t.Run(src.name+"/"+family.name, func(t *testing.T) {
				t.Parallel()
				newNamespace(t)
				s := listen(t, family.listen, family.dial)
				w := &Watcher{}
				src.open(t, w)
				f(t, w, s)
			})
		}
	}
}

func look(t testing.TB, w *Watcher) Look {
	t.Helper()
	l, err := w.Look()
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// server accepts what it is told to accept.
type server struct {
	t testing.TB
	l net.Listener
	// addr is where clients find it.
	addr string
}

func listen(t testing.TB, at, host string) *server {
	t.Helper()
	l, err := net.Listen("tcp", at)
	if err != nil {
		if strings.Contains(at, ":") {
			t.Skipf("%s: %v", at, err)
		}
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return &server{t, l, net.JoinHostPort(host, port)}
}

func (s *server) dial() *net.TCPConn {
	s.t.Helper()
	c, err := net.DialTimeout("tcp", s.addr, 5*time.Second)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { c.Close() })
	return c.(*net.TCPConn)
}

// connect returns both ends.
func (s *server) connect() (client, server *net.TCPConn) {
	s.t.Helper()
	client = s.dial()
	c, err := s.l.Accept()
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { c.Close() })
	return client, c.(*net.TCPConn)
}

// send takes n bytes from one end to the other.
func send(t testing.TB, from, to net.Conn, n int) {
	t.Helper()
	if _, err := from.Write(make([]byte, n)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(to, make([]byte, n)); err != nil {
		t.Fatal(err)
	}
}

// rest is longer than a jiffy, and than any acknowledgement is delayed.
func rest() { time.Sleep(80 * time.Millisecond) }
