package notify

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func listen(t *testing.T) *Socket {
	t.Helper()
	s, err := Listen(Where{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// send sends a datagram with descriptors.
func send(t *testing.T, s *Socket, datagram string, fds ...int) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	var oob []byte
	if len(fds) > 0 {
		oob = unix.UnixRights(fds...)
	}
	if err := unix.Sendmsg(fd, []byte(datagram), oob, &unix.SockaddrUnix{Name: s.Name()}, 0); err != nil {
		t.Fatal(err)
	}
}

// received returns the next datagram, which has to come within 10 seconds, and
// is done with it at once.
func received(t *testing.T, s *Socket) (datagram string) {
	t.Helper()
	timer := time.AfterFunc(10*time.Second, s.Close)
	b, sender, done, err := s.Receive()
	if err != nil || int(sender.Pid) != os.Getpid() || int(sender.Uid) != os.Getuid() {
		t.Fatalf("%q from %+v, %v", b, sender, err)
	}
	datagram = string(b)
	done()
	if !timer.Stop() {
		t.Fatalf("%q took 10 seconds", datagram)
	}
	return datagram
}

func TestSocket(t *testing.T) {
	s, other := listen(t), listen(t)
	if other.Name() == s.Name() {
		t.Errorf("two of the name %q", s.Name())
	}
	if err := Send(s.Name(), []byte("READY=1")); err != nil {
		t.Fatal(err)
	}
	send(t, s, strings.Repeat("X", maxDatagram-6)+"\nSTATUS=up") // cut short, it would be another status
	send(t, s, "")
	send(t, s, strings.Repeat("X", maxDatagram))
	for _, want := range []string{"READY=1", "", "", strings.Repeat("X", maxDatagram)} {
		if got := received(t, s); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	time.AfterFunc(10*time.Millisecond, s.Close)
	if _, _, _, err := s.Receive(); err != os.ErrClosed {
		t.Errorf("after Close: %v", err)
	}
}

// BARRIER=1: the other end of the pipe is closed when the datagram has been
// dealt with.
func TestBarrier(t *testing.T) {
	s := listen(t)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	send(t, s, "BARRIER=1", int(w.Fd()))
	w.Close()
	datagram, _, done, err := s.Receive()
	if err != nil || string(datagram) != "BARRIER=1" {
		t.Errorf("%q, %v", datagram, err)
	}
	r.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
	if _, err := r.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the barrier was open before: %v", err)
	}
	done()
	r.SetReadDeadline(time.Now().Add(10 * time.Second))
	if n, err := r.Read(make([]byte, 1)); n != 0 || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the barrier stays: %v", err)
	}
}

// lingering is a TCP socket whose close(2) waits for a minute, because no
// process reads its data.
func lingering(t *testing.T) *os.File {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	f, err := c.(*net.TCPConn).File()
	if err != nil {
		t.Fatal(err)
	}
	fd := int(f.Fd())
	if err := unix.SetNonblock(fd, true); err != nil {
		t.Fatal(err)
	}
	for b := make([]byte, 1<<20); ; {
		if _, err := unix.Write(fd, b); err != nil {
			break
		}
	}
	if err := unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1, Linger: 60}); err != nil {
		t.Fatal(err)
	}
	return f
}

// No descriptor is taken, and dropping one does not make usher wait: 5a6c03f
// waited for a minute each time.
func TestDescriptorsAreNotTaken(t *testing.T) {
	s := listen(t)
	count := func() int {
		found, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Skip("needs /proc")
		}
		return len(found)
	}
	for _, datagram := range []string{"READY=1", "BARRIER=1", "BARRIER=1", ""} {
		before := count()
		var fds []int
		for range 3 {
			f := lingering(t)
			fd, err := unix.Dup(int(f.Fd()))
			if err != nil {
				t.Fatal(err)
			}
			// The sent copy has to be the last one, and this process must not wait for it.
			f.Close()
			fds = append(fds, fd)
		}
		many := append([]int{}, fds...)
		for len(many) < 253 { // SCM_MAX_FD
			many = append(many, 0)
		}
		send(t, s, datagram, many...)
		for _, fd := range fds {
			unix.Close(fd)
		}
		b, _, done, err := s.Receive()
		if string(b) != datagram || err != nil {
			t.Errorf("%q, %v", b, err)
		}
		if n := count(); n != before+3 { // the listeners
			t.Errorf("%q: %d descriptors, were %d", datagram, n, before)
		}
		begin := time.Now()
		done()
		if d := time.Since(begin); d > 20*time.Second {
			t.Errorf("%q: the end of its descriptors took %v", datagram, d)
		}
	}
	send(t, s, "READY=1")
	if got := received(t, s); got != "READY=1" {
		t.Errorf("%q", got)
	}
}

// Root's socket is for every user, whatever the umask, which stays as it is.
func TestMode(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	defer unix.Umask(unix.Umask(0o027))
	s := listen(t)
	if st, err := os.Lstat(s.Name()); err != nil || st.Mode() != os.ModeSocket|0o666 {
		t.Errorf("%v, %v", st, err)
	}
	if umask := unix.Umask(0o027); umask != 0o027 {
		t.Errorf("umask %o", umask)
	}
}

func TestPlace(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	fd := func() int {
		fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { unix.Close(fd) })
		return fd
	}
	mode := func(path string) os.FileMode {
		st, err := os.Lstat(path)
		if err != nil {
			t.Fatal(err)
		}
		return st.Mode()
	}
	defer unix.Umask(unix.Umask(0o027))
	path := filepath.Join(dir, "socket")
	for _, want := range []int{0o600, 0o666} {
		unix.Umask(0o777 &^ want)
		var p place
		first := fd()
		if err := p.bindPath(first, path); err != nil {
			t.Fatal(err)
		}
		if got := mode(path); got != os.ModeSocket|os.FileMode(want) {
			t.Errorf("mode %v, want %o", got, want)
		}
		var q place
		if err := q.bindPath(fd(), path); err != unix.EADDRINUSE {
			t.Errorf("a socket that is listened at is replaced: %v", err)
		}
		// A killed usher leaves a socket.
		unix.Close(first)
		if err := q.bindPath(fd(), path); err != unix.EADDRINUSE {
			t.Errorf("one that is younger than a second is replaced: %v", err)
		}
		for deadline := time.Now().Add(20 * time.Second); q.ino == 0; time.Sleep(50 * time.Millisecond) {
			if err := q.bindPath(fd(), path); err != nil && time.Now().After(deadline) {
				t.Fatalf("a stale one is not replaced: %v", err)
			}
		}
		// Another file may have its name at the end.
		if err := os.Rename(path, path+".away"); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if q.remove(); mode(path) != 0o600 {
			t.Errorf("%v", mode(path))
		}
		if err := os.Rename(path+".away", path); err != nil {
			t.Fatal(err)
		}
		q.remove()
		if _, err := os.Lstat(path); !os.IsNotExist(err) {
			t.Errorf("the socket is still there: %v", err)
		}
	}
	// Neither a file nor a link is a killed usher's.
	old := time.Now().Add(-time.Hour)
	for name, mk := range map[string]func(string) error{
		"file": func(s string) error { return os.WriteFile(s, nil, 0o600) },
		"link": func(s string) error { return os.Symlink("file", s) },
	} {
		if err := mk(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
		_ = os.Chtimes(filepath.Join(dir, name), old, old)
		var p place
		if err := p.bindPath(fd(), filepath.Join(dir, name)); err != unix.EADDRINUSE {
			t.Errorf("a %s is replaced: %v", name, err)
		}
	}
	for mode, want := range map[os.FileMode]bool{
		0o755: true, 0o777: false, 0o775: false, 0o777 | os.ModeSticky: true, 0o700: false,
	} {
		if err := os.Chmod(dir, mode); err != nil {
			t.Fatal(err)
		}
		if got := own(dir); got != want {
			t.Errorf("%v: %v", mode, got)
		}
	}
	if os.Getuid() == 0 {
		if err := os.Chown(dir, 65534, 65534); err != nil {
			t.Fatal(err)
		}
		if own(dir) {
			t.Error("another user's directory is taken")
		}
	}
}
