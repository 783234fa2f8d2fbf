package healthz

import (
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// failing is a listener that finds no descriptors.
type failing struct{ listener }

func (failing) Accept() (int, error) { return -1, os.NewSyscallError("accept4", syscall.EMFILE) }

// TestBackoff: a lack of descriptors is waited out, a little longer each time,
// up to a second, with one line in the log.
func TestBackoff(t *testing.T) {
	var logged []string
	s := newServer(t)
	s.logf = func(format string, args ...any) { logged = append(logged, fmt.Sprintf(format, args...)) }
	real, err := Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := failing{real}
	if err := s.add(l); err != nil {
		t.Fatal(err)
	}
	wait := 5 * time.Millisecond
	for range 12 {
		s.accept(l)
		s.accept(l) // of another listener, or a while ago
		if got := s.due - s.now; got != wait || !s.paused {
			t.Errorf("paused %v, for %v, want %v", s.paused, got, wait)
		}
		s.now = s.due
		if s.endExpired(); s.paused || s.due != never {
			t.Error("does not go on")
		}
		wait = min(2*wait, time.Second)
	}
	if want := "health: cannot accept connections: accept4: too many open files; trying again"; len(logged) != 1 || logged[0] != want {
		t.Errorf("logged %q, want %q once", logged, want)
	}
}

// scarce is a listener that finds two descriptors.
type scarce struct {
	listener
	s *Server
}

func (l scarce) Accept() (int, error) {
	if l.s.open.Load() >= 2 {
		return -1, os.NewSyscallError("accept4", syscall.EMFILE)
	}
	return l.listener.Accept()
}

// TestScarce: if clients hold all descriptors, each new client gets the
// descriptor of another one at once, and the log has one line about it.
func TestScarce(t *testing.T) {
	logged := 0
	s := newServer(t)
	s.logf = func(string, ...any) { logged++ }
	real, err := Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := scarce{real, s}
	if err := s.add(l); err != nil {
		t.Fatal(err)
	}
	for range 20 {
		c := dial(t, s.addr())
		io.WriteString(c, get)
		got := make(chan error, 1)
		go func() { got <- answered(c) }()
		waitFor(t, "an answer", func() bool {
			s.tick()
			if s.accept(l); s.paused {
				t.Fatal("paused, although there is room to be made")
			}
			return len(got) > 0
		})
		if err := <-got; err != nil {
			t.Fatal(err)
		}
	}
	if logged != 1 {
		t.Errorf("%d lines in the log", logged)
	}
}

// TestDescriptors: however few descriptors there are, connections leave some
// for the rest of usher, and slow clients make way for others.
func TestDescriptors(t *testing.T) {
	addr, pid, _ := startAlone(t, 24)
	open := func() int {
		fds, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
		if err != nil {
			t.Fatal(err)
		}
		return len(fds)
	}
	before := open()
	for range 30 {
		c := dial(t, addr)
		io.WriteString(c, "GET ")
	}
	began := time.Now()
	for range 5 {
		wantOK(t, addr)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("took %v", took)
	}
	if n := open(); n > before+4 {
		t.Errorf("%d descriptors, %d before, of 24", n, before)
	}
}

func TestFewerDescriptors(t *testing.T) {
	for noFile, want := range map[uint64]limits{
		0:              {conns: 4, settled: 10 * time.Millisecond},
		20:             {conns: 4, settled: 10 * time.Millisecond},
		288:            {conns: 256, settled: 50 * time.Millisecond},
		544:            {conns: 512, settled: 100 * time.Millisecond},
		1024:           {conns: 512, settled: 100 * time.Millisecond},
		math.MaxUint64: {conns: 512, settled: 100 * time.Millisecond}, // RLIM_INFINITY
	} {
		if l := defaultLimits.fewer(noFile); l.conns != want.conns || l.settled != want.settled {
			t.Errorf("%d: %d connections, settled after %v", noFile, l.conns, l.settled)
		}
	}
}

// end makes the kernel end a listener at that port of loopback: with ss -K, or
// nearly so if that is not possible.
func end(t *testing.T, port uint16) {
	t.Helper()
	exec.Command("ss", "-K", "-l", "-t", "sport", "=", strconv.Itoa(int(port))).Run()
	for fd := range 1024 {
		sa, _ := unix.Getsockname(fd)
		if at, ok := sa.(*unix.SockaddrInet4); ok && at.Port == int(port) {
			if listens, _ := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ACCEPTCONN); listens == 0 || unix.Shutdown(fd, unix.SHUT_RDWR) == nil {
				return
			}
		}
	}
	t.Fatal("no such listener")
}

// TestListenerEnded: a listener that an administrator has ended (ss -K) does
// not keep the server busy, and soon listens again.
func TestListenerEnded(t *testing.T) {
	free, err := Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr, port := free.Addr().String(), free.Addr().Port()
	free.Close()
	s := newServer(t)
	if err := s.Listen(addr); err != nil { // port 0 would become another
		t.Fatal(err)
	}
	end(t, port)
	soon := func() time.Time { return time.Now().Add(20 * time.Millisecond) }
	if events, err := s.poll.Wait(soon()); len(events) != 1 || err != nil {
		t.Fatalf("%d events, %v: it has not ended", len(events), err)
	}
	s.tick()
	if s.accept(s.listeners[0]); !s.paused {
		t.Fatal("not paused")
	}
	end(t, port)
	if events, err := s.poll.Wait(soon()); len(events) > 0 || err != nil {
		t.Errorf("%d events, %v", len(events), err)
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		s.Serve()
	}()
	defer func() { s.Close(); <-served }()
	waitFor(t, "an answer", func() bool {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			return false
		}
		defer c.Close()
		return ask(c) == nil
	})
}

// TestForgotten: a closed connection causes no events, although a forked child
// that has not called execve(2) still holds it.
func TestForgotten(t *testing.T) {
	s := newServer(t)
	c, client := connected(t, s)
	c.ready()
	child, err := unix.Dup(c.fd)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(child)
	c.end()
	io.WriteString(client, get)
	if events, err := s.poll.Wait(time.Now().Add(20 * time.Millisecond)); len(events) > 0 || err != nil {
		t.Errorf("%d events, %v", len(events), err)
	}
}

func TestListen(t *testing.T) {
	for _, addr := range []string{":0", "127.0.0.1:0", "[::1]:0", "localhost:0", "0.0.0.0:0", "[::]:0"} {
		l, err := Listen(addr)
		if errors.Is(err, syscall.EADDRNOTAVAIL) && addr == "[::1]:0" {
			t.Logf("%q: no IPv6 here: %v", addr, err)
			continue
		}
		if err != nil {
			t.Errorf("%q: %v", addr, err)
			continue
		}
		l.Close()
	}
	taken, err := Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for _, tt := range []struct{ addr, want string }{
		{"", `cannot listen on "": missing port in address`},
		{"8086", `cannot listen on "8086": write it with a colon: ":8086"`},
		{"127.0.0.1", `cannot listen on "127.0.0.1": missing port in address`},
		{"::1:8086", `cannot listen on "::1:8086": write an IPv6 address in brackets`},
		{"http://:8086", `cannot listen on "http://:8086": no scheme belongs there: write ":8086"`},
		{"tcp://127.0.0.1:8086/livez", `cannot listen on "tcp://127.0.0.1:8086/livez": no scheme belongs there: write "127.0.0.1:8086"`},
		{"example.com:80", `cannot listen on "example.com:80": "example.com" is not an IP address`},
		{"127.0.0.256:80", `cannot listen on "127.0.0.256:80": "127.0.0.256" is not an IP address`},
		{":http", `cannot listen on ":http": port "http" is not a number from 0 to 65535`},
		{":65536", `cannot listen on ":65536": port "65536" is not a number from 0 to 65535`},
		{":-1", `cannot listen on ":-1": port "-1" is not a number from 0 to 65535`},
		{":", `cannot listen on ":": port "" is not a number from 0 to 65535`},
		{"192.0.2.1:0", `cannot listen on "192.0.2.1:0": bind: cannot assign requested address`},
		{taken.Addr().String(), fmt.Sprintf(`cannot listen on %q: bind: address already in use`, taken.Addr())},
	} {
		if l, err := Listen(tt.addr); err == nil {
			l.Close()
			t.Errorf("%q: no error", tt.addr)
		} else if err.Error() != tt.want {
			t.Errorf("%q: got %v\nwant %s", tt.addr, err, tt.want)
		}
	}
}

// TestListenUnix: every user may connect to the socket, which is removed with
// its listener. A stale socket is replaced.
func TestListenUnix(t *testing.T) {
	path := filepath.Join(t.TempDir(), "health")
	old := syscall.Umask(0o077)
	defer syscall.Umask(old)
	l, err := Listen("unix://" + path)
	if err != nil {
		t.Fatal(err)
	}
	if st, err := os.Stat(path); err != nil || st.Mode().Perm() != 0o666 {
		t.Errorf("%v, %v", st, err)
	}
	if _, err := Listen("unix:" + path); err == nil || err.Error() != fmt.Sprintf("cannot listen on %q: bind: address already in use", "unix:"+path) {
		t.Errorf("a second one: %v", err)
	}
	s := newServer(t)
	if err := s.add(l); err != nil {
		t.Fatal(err)
	}
	go s.Serve()
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	if err := ask(c); err != nil {
		t.Error(err)
	}
	c.Close()
	s.Close()
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("left behind: %v", err)
	}
	dead, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	dead.(*net.UnixListener).SetUnlinkOnClose(false)
	dead.Close()
	if l, err = Listen("unix:" + path); err != nil {
		t.Fatal(err)
	}
	l.Close()
	if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Listen("unix:" + path); err == nil {
		t.Error("a file was replaced")
	}
	for _, bad := range []string{"unix:", "unix:x", "unix://x/y", "unix:/" + strings.Repeat("x", 107)} {
		if _, err := ParseAddr(bad); err == nil {
			t.Errorf("%q: no error", bad)
		}
	}
}

// FuzzAddr: package net reads an accepted address as the same host and port.
func FuzzAddr(f *testing.F) {
	for _, seed := range []string{":8086", "127.0.0.1:0", "[::1]:80", "[fe80::1%lo]:1", "localhost:1", "unix:/run/x", "unix://", "[]:1", "::1:2"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		a, err := ParseAddr(s)
		switch {
		case err != nil:
		case strings.HasPrefix(s, "unix:"):
			if !strings.HasPrefix(a.Path, "/") || a.IsValid() {
				t.Errorf("%q: %+v", s, a)
			}
		default:
			host, port, err := net.SplitHostPort(s)
			if err != nil {
				t.Fatalf("%q: %+v; package net: %v", s, a, err)
			}
			if n, err := strconv.Atoi(port); err != nil || n != int(a.Port()) {
				t.Errorf("%q: port %d", s, a.Port())
			}
			if want, err := netip.ParseAddr(host); err == nil && want != a.Addr() || err != nil && host != "" && host != "localhost" {
				t.Errorf("%q: %v, package netip: %v, %v", s, a.Addr(), want, err)
			}
		}
	})
}
