package check

import (
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// TestUnix: a server listens at a socket of any type.
func TestUnix(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "s")
	want := func(want string) {
		t.Helper()
		if got := text(runCheck(t, "unix://"+path, time.Second)); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	want("no such file or directory")
	for _, network := range []string{"unix", "unixpacket"} {
		l, err := net.Listen(network, path)
		if err != nil {
			t.Fatal(err)
		}
		want("")
		l.(*net.UnixListener).SetUnlinkOnClose(false)
		l.Close()
		want("connection refused")
		os.Remove(path)
	}
	c, err := net.ListenPacket("unixgram", path)
	if err != nil {
		t.Fatal(err)
	}
	want("")
	c.Close()
	os.Remove(path)
	if err := os.WriteFile(path, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	want("connection refused")
}

// TestUnixFull: the check fails at the timeout if the server accepts no more,
// and holds if it accepts in time.
func TestUnixFull(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(fd)
	if err := syscall.Bind(fd, &syscall.SockaddrUnix{Name: path}); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	if err := runCheck(t, "unix://"+path, time.Second); err != nil {
		t.Fatal(err)
	}
	if got := unloaded(text(runCheck(t, "unix://"+path, 100*time.Millisecond))); got != "timeout after 100ms: no connection" {
		t.Errorf("got %q", got)
	}
	time.AfterFunc(50*time.Millisecond, func() {
		if c, _, err := syscall.Accept(fd); err == nil {
			syscall.Close(c)
		}
	})
	if err := runCheck(t, "unix://"+path, 10*time.Second); err != nil {
		t.Error(err)
	}
}

func TestFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ready now")
	if got := text(runCheck(t, "file:"+path, time.Second)); got != "no such file or directory" {
		t.Errorf("got %q", got)
	}
	if err := os.WriteFile(path, nil, 0); err != nil {
		t.Fatal(err)
	}
	if err := runCheck(t, "file:"+path, time.Second); err != nil {
		t.Error(err)
	}
	if got := text(runCheck(t, "file:"+path+"/x", time.Second)); got != "not a directory" {
		t.Errorf("got %q", got)
	}
}
