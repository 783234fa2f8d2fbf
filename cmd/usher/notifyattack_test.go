package main_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// python3 is one that every user may run.
const python3 = "/usr/bin/python3"

// python is an app, with what it needs: connect() to NOTIFY_SOCKET, give()
// descriptors, and lingering(), a TCP socket for which close(2) waits 60
// seconds.
func python(t *testing.T, program string) []string {
	t.Helper()
	if _, err := os.Stat(python3); err != nil {
		t.Skip("needs " + python3)
	}
	return []string{"--", python3, "-c", `import array, os, signal, socket, struct, sys, time
def connect():
    name = os.environ["NOTIFY_SOCKET"]
    s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    s.connect("\0" + name[1:] if name[0] == "@" else name)
    return s
kept = []
def lingering():
    l = socket.socket()
    l.bind(("127.0.0.1", 0))
    l.listen(1)
    kept.append(l)
    c = socket.create_connection(l.getsockname())
    c.setblocking(False)
    try:
        while True: c.send(b"x" * 65536)
    except BlockingIOError: pass
    c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 60))
    return c
def give(s, datagram, *files):
    s.sendmsg([datagram], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [f.fileno() for f in files]))])
` + program}
}

// upstream is a NOTIFY_SOCKET for usher.
func upstream(t *testing.T) (path string, next func() string) {
	t.Helper()
	dir := t.TempDir()
	path = filepath.Join(dir, "up")
	up, err := net.ListenPacket("unixgram", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { up.Close() })
	for p, mode := range map[string]os.FileMode{path: 0o666, dir: 0o755, filepath.Dir(dir): 0o755} {
		if err := os.Chmod(p, mode); err != nil {
			t.Fatal(err)
		}
	}
	return path, func() string {
		t.Helper()
		b := make([]byte, 5000)
		up.SetReadDeadline(time.Now().Add(patience))
		n, _, err := up.ReadFrom(b)
		if err != nil {
			t.Fatal(err)
		}
		return string(b[:n])
	}
}

// What comes with a datagram is not taken, and its end is not waited for,
// whoever sends it: in 5a6c03f each of these sockets kept usher from hearing
// anything for a minute.
func TestNotifyLingeringSockets(t *testing.T) {
	eachBuild(t, func(t *testing.T, b *build) {
		up, next := upstream(t)
		u := command(t, b, append([]string{"--watchdog", "1h"}, python(t, `
s = connect()
print("begun", flush=True)
sys.stdin.readline()
for datagram in b"READY=1", b"BARRIER=1", b"FDSTORE=1", b"STATUS=x":
    c, d = lingering(), lingering()
    give(s, datagram, *[c, d] * 100)
    c.close()
    d.close()
print("sent", flush=True)
r, w = os.pipe()
s.sendmsg([b"BARRIER=1"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [w]))])
os.close(w)
os.read(r, 1)
s.send(b"STATUS=all heard")
time.sleep(60)
`)...)...)
		u.cmd.Env = append(u.cmd.Env, "NOTIFY_SOCKET="+up)
		stdin, err := u.cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		u.begin().printed("begun\n")
		before := openFiles(t, u)
		// Usher's copies are to be the last ones.
		u.signal(unix.SIGSTOP)
		fmt.Fprintln(stdin)
		u.printed("sent\n")
		u.signal(unix.SIGCONT)
		for _, want := range []string{"READY=1\n", "STATUS=x\n", "STATUS=all heard\n"} {
			if got := next(); got != want {
				t.Errorf("%q, want %q", got, want)
			}
		}
		if n := openFiles(t, u); n > before+10 { // of 800
			t.Errorf("usher has %d descriptors, were %d", n, before)
		}
		u.signal(unix.SIGTERM)
		u.want(143)
	})
}

func openFiles(t *testing.T, u *usher) int {
	t.Helper()
	files, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", u.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	return len(files)
}

// A neighbour in the pod, of another PID namespace, that knows the name and
// sends as fast as it can, descriptors too, keeps the app's own from usher no
// longer than that takes to look at it. In 5a6c03f the first socket that
// lingers did.
func TestNotifyFlood(t *testing.T) {
	for _, place := range []string{"path", "abstract"} {
		t.Run(place, func(t *testing.T) {
			t.Parallel()
			health := freePort(t)
			u := command(t, &made, append([]string{"--health-addr", health, "--watchdog", "5s"}, python(t, `
s = connect()
print("socket", os.environ["NOTIFY_SOCKET"], "here", flush=True)
s.send(b"READY=1")
while True:
    time.sleep(0.1)
    begin = time.monotonic()
    s.send(b"WATCHDOG=1")
    print("\nsent", int(1000 * (time.monotonic() - begin)), "ms", flush=True)
`)...)...)
			if place == "abstract" {
				unwritable(u, "/run", "/tmp")
			}
			u.begin().printed(" here\n")
			_, name, _ := strings.Cut("\n"+u.stdout.String(), "\nsocket ")
			name, _, _ = strings.Cut(name, " here\n")
			if (name[0] == '@') != (place == "abstract") {
				t.Fatalf("name %q", name)
			}
			linger := lingeringSocket(t)
			stop := make(chan struct{})
			ended := make(chan error)
			for i := range 4 {
				go func() { ended <- floodNotify(name, linger(i == 0), stop) }()
			}
			url := "http://" + health + "/livez"
			for deadline := time.Now().Add(6 * time.Second); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
				wantBody(t, url, 200)
			}
			close(stop)
			for range 4 {
				if err := <-ended; err != nil {
					t.Error(err)
				}
			}
			longest, sent := 0, strings.Split(u.stdout.String(), "\nsent ")
			for _, text := range sent[1:] {
				ms := 0
				fmt.Sscanf(text, "%d", &ms)
				longest = max(longest, ms)
			}
			t.Logf("%d words of the app's own, the slowest after %d ms", len(sent)-1, longest)
			u.logged("ignored sd_notify")
			if n := strings.Count(u.stderr.String(), "\n"); n > 1 {
				t.Errorf("%d lines in the log", n)
			}
			u.signal(unix.SIGTERM)
			u.want(143)
		})
	}
}

// unwritable makes directories read-only, for usher and its app.
func unwritable(u *usher, dirs ...string) {
	script := "exec \"$@\""
	for _, dir := range dirs {
		script = fmt.Sprintf("mount --bind %s %s && mount -o remount,ro,bind %s && ", dir, dir, dir) + script
	}
	u.cmd.Args = append([]string{"sh", "-c", script, "sh", u.cmd.Path}, u.cmd.Args[1:]...)
	u.cmd.Path = "/bin/sh"
}

// lingeringSocket returns what makes sockets that close(2) waits a minute for;
// -1 if there is to be none.
func lingeringSocket(t *testing.T) func(bool) int {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return func(wanted bool) int {
		if !wanted {
			return -1
		}
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		f, err := c.(*net.TCPConn).File()
		c.Close()
		if err != nil {
			t.Fatal(err)
		}
		fd, err := unix.Dup(int(f.Fd()))
		if err != nil {
			t.Fatal(err)
		}
		f.Close()
		_ = unix.SetNonblock(fd, true)
		for b := make([]byte, 1<<20); err == nil; {
			_, err = unix.Write(fd, b)
		}
		if err := unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1, Linger: 60}); err != nil {
			t.Fatal(err)
		}
		return fd
	}
}

// floodNotify sends datagrams to name until stop is closed: first with linger, if
// there is one, which it has then no more, then with other descriptors.
func floodNotify(name string, linger int, stop chan struct{}) error {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := unix.Connect(fd, &unix.SockaddrUnix{Name: name}); err != nil {
		return err
	}
	_ = unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &unix.Timeval{Sec: 1})
	for i := 0; ; i++ {
		select {
		case <-stop:
			return nil
		default:
		}
		var oob []byte
		switch {
		case linger >= 0:
			oob = unix.UnixRights(linger)
		case i%100 == 0:
			oob = unix.UnixRights(0, 1, 2)
		}
		err := unix.Sendmsg(fd, []byte("READY=1\nBARRIER=1"), oob, nil, 0)
		if err != nil && err != unix.EAGAIN && err != unix.EINTR {
			return err
		}
		if linger >= 0 && err == nil {
			unix.Close(linger) // usher has the last
			linger = -1
		}
	}
}

// A NOTIFY_SOCKET that is a path is one for the app as well, which may be in
// another network namespace. In 5a6c03f it was an abstract name.
func TestNotifyFromOtherNetwork(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root, to make a network namespace")
	}
	script := `echo "name $NOTIFY_SOCKET"; exec unshare --net "$@"`
	say := python(t, `connect().send(b"READY=1"); time.sleep(60)`)[1:]
	for name, c := range map[string]struct {
		dirs []string
		args []string
		want string
	}{
		"run":             {want: "/run/usher-notify-1"},
		"tmp":             {dirs: []string{"/run"}, want: "/tmp/usher-notify-1"},
		"shm":             {dirs: []string{"/run", "/tmp"}, want: "/dev/shm/usher-notify-1"},
		"nothing":         {dirs: []string{"/run", "/tmp", "/dev/shm"}, want: "@usher-notify-1-"},
		"as another user": {args: []string{"--user", "65534"}, want: "/run/usher-notify-1"},
	} {
		t.Run(name, func(t *testing.T) {
			up, next := upstream(t)
			args := append([]string{"-v"}, c.args...)
			args = append(args, "--", "sh", "-c", script, "sh")
			if c.args != nil {
				args[len(args)-2] = `echo "name $NOTIFY_SOCKET"; exec "$@"`
			}
			u := command(t, &made, append(args, say...)...)
			u.cmd.Env = append(u.cmd.Env, "NOTIFY_SOCKET="+up)
			unwritable(u, c.dirs...)
			u.begin().printed("name " + c.want)
			if c.want[0] == '@' {
				u.logged("no writable directory")
			} else if got := next(); got != "READY=1\n" {
				t.Errorf("%q", got)
			}
			u.signal(unix.SIGTERM)
			u.want(143)
		})
	}
}

// A sender may be gone when usher looks who it was, and have another user than
// usher: an entrypoint that is root and becomes the app's user itself (gosu).
// In 5a6c03f 4 to 10 of 40 were refused.
func TestNotifyFromTheDead(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
	program := `
s = connect()
os.setgid(65534)
os.setuid(65534)
for i in range(40):
    pid = os.fork()
    if pid == 0:
        if i % 4 == 0: # its parent, an ancestor of the sender, is gone as well
            if os.fork(): os._exit(0)
        s.send(b"STATUS=%d" % i)
        os._exit(0)
    os.waitpid(pid, 0)
    sys.stdin.readline() # heard: no more than one at a time is on its way
time.sleep(60)
`
	withProc := func(t *testing.T, b *build, args ...string) *usher {
		u := command(t, b, args...)
		u.cmd.Args = append([]string{"sh", "-c", `mount -t proc proc /proc && exec "$@"`, "sh", u.cmd.Path}, u.cmd.Args[1:]...)
		u.cmd.Path = "/bin/sh"
		return u
	}
	for name, prepare := range map[string]func(*testing.T, *build, ...string) *usher{
		"as PID 1": withProc, "as PID 1 without /proc": command, "not PID 1": commandHere,
	} {
		t.Run(name, func(t *testing.T) {
			up, next := upstream(t)
			u := prepare(t, &made, append([]string{"-v"}, python(t, program)...)...)
			u.cmd.Env = append(u.cmd.Env, "NOTIFY_SOCKET="+up)
			stdin, err := u.cmd.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			u.begin()
			t.Cleanup(func() {
				if t.Failed() {
					t.Logf("%s", &u.stderr)
				}
			})
			for i := range 40 {
				if got, want := next(), fmt.Sprintf("STATUS=%d\n", i); got != want {
					t.Fatalf("%q, want %q", got, want)
				}
				fmt.Fprintln(stdin)
			}
			u.signal(unix.SIGTERM)
			u.want(143)
		})
	}
}

// Where usher is not PID 1, a stranger that is gone is not taken for the app's,
// unless it could end the app as well.
func TestNotifyFromDeadStrangers(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
	up, next := upstream(t)
	u := commandHere(t, &made, append([]string{"--user", "65534"}, python(t, `
s = connect()
print("socket", os.environ["NOTIFY_SOCKET"], "here", flush=True)
sys.stdin.readline()
s.send(b"READY=1")
time.sleep(60)
`)...)...)
	u.cmd.Env = append(u.cmd.Env, "NOTIFY_SOCKET="+up)
	stdin, err := u.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	u.begin().printed(" here\n")
	_, name, _ := strings.Cut(u.stdout.String(), "socket ")
	name, _, _ = strings.Cut(name, " here\n")
	for range 20 {
		stranger := exec.Command(python3, "-c", `import os, socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.connect(sys.argv[1])
for i in range(20):
    if os.fork() == 0:
        s.send(b"STATUS=stranger")
        os._exit(0)
    os.wait()
`, name)
		stranger.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 12345, Gid: 12345}}
		if out, err := stranger.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	fmt.Fprintln(stdin)
	if got := next(); got != "READY=1\n" {
		t.Errorf("%q", got)
	}
	u.logged("uid 12345): no process of the app")
	u.signal(unix.SIGTERM)
	u.want(143)
}
