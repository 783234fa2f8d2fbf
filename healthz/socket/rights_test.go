package socket

import (
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// lingering returns a descriptor whose last close waits for a minute: a TCP
// connection with unsent data and SO_LINGER. It belongs to the caller.
func lingering(t *testing.T) int {
	t.Helper()
	sink, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { sink.Close() })
	sa := &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}, Port: sink.Addr().(*net.TCPAddr).Port}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err == nil {
		err = unix.Connect(fd, sa)
	}
	if err != nil {
		t.Fatal(err)
	}
	for err == nil { // never read
		_, err = unix.SendmsgN(fd, make([]byte, 1<<16), nil, nil, unix.MSG_DONTWAIT)
	}
	if err := unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1, Linger: 60}); err != nil {
		t.Fatal(err)
	}
	return fd
}

// TestGuarded: neither reading nor closing waits for descriptors, whatever data
// they come with, and whenever. With Receive and close(2) instead, each of
// these waits for a minute.
func TestGuarded(t *testing.T) {
	for _, tt := range []struct {
		name   string
		before string // without descriptors
		flags  int    // with them
	}{
		{"at once", "", 0},
		{"after a request", "GET /", 0},
		{"out of band", "", unix.MSG_OOB},
		{"out of band, after a request", "GET /", unix.MSG_OOB},
	} {
		for _, reads := range []bool{true, false} {
			t.Run(tt.name, func(t *testing.T) {
				fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
				if err != nil {
					t.Fatal(err)
				}
				// The rest of it is closed only with the test's process.
				server, client := fds[0], fds[1]
				if tt.before != "" {
					unix.Write(client, []byte(tt.before))
				}
				fd := lingering(t)
				if err := unix.Sendmsg(client, []byte("x"), unix.UnixRights(fd), nil, tt.flags); err != nil {
					t.Skip(err)
				}
				unix.Close(fd)
				done := make(chan struct{})
				go func() {
					defer close(done)
					b := make([]byte, 100)
					if reads {
						n, err := ReceiveGuarded(server, b)
						if err == nil && string(b[:n]) == tt.before {
							_, err = ReceiveGuarded(server, b)
						}
						if err != ErrRights {
							t.Errorf("got %q, %v", b[:n], err)
						}
					}
					if CloseGuarded(server) {
						t.Error("closed")
					}
				}()
				select {
				case <-done:
				case <-time.After(10 * time.Second):
					t.Fatal("it waits")
				}
				if n, err := unix.Read(client, make([]byte, 1)); n != 0 || err != nil {
					t.Errorf("the client has not been told: %d, %v", n, err)
				}
			})
		}
	}
}

// TestGuardedPlain: without descriptors the guarded calls work like the plain
// ones.
func TestGuardedPlain(t *testing.T) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	server, client := fds[0], fds[1]
	defer unix.Close(client)
	b := make([]byte, 100)
	if n, err := ReceiveGuarded(server, b); n != 0 || err != unix.EAGAIN {
		t.Errorf("%d, %v", n, err)
	}
	unix.Write(client, []byte("GET "))
	unix.Write(client, []byte("/livez"))
	if n, err := ReceiveGuarded(server, b); string(b[:n]) != "GET /livez" || err != nil {
		t.Errorf("%q, %v", b[:n], err)
	}
	unix.Write(client, make([]byte, 5000)) // unread
	if !CloseGuarded(server) {
		t.Error("not closed")
	}
	if _, err := unix.Write(server, b); err != unix.EBADF {
		t.Errorf("it is still there: %v", err)
	}
}

// TestRefused: a socket of Listen, and one of Dial, takes no descriptors if the
// kernel can refuse them. If it can't, the listener says so.
func TestRefused(t *testing.T) {
	path := t.TempDir() + "/s"
	sa := &unix.SockaddrUnix{Name: path}
	l, err := Listen(sa)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := Dial(t.Context(), sa, unix.SOCK_STREAM, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	server := accept1(t, l)
	defer server.Close()
	send := func(c *Conn) (err error) {
		raw, _ := c.file.SyscallConn()
		raw.Control(func(fd uintptr) { err = unix.Sendmsg(int(fd), []byte("x"), unix.UnixRights(int(fd)), nil, 0) })
		return err
	}
	for name, c := range map[string]*Conn{"to the server": c, "to the client": server} {
		if err := send(c); l.Rights() && err != nil || !l.Rights() && err != unix.EPERM {
			t.Errorf("%s: %v, rights %v", name, err, l.Rights())
		}
	}
}
