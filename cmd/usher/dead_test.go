package main_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// A check of a path on a file system that has died fails when its time is up, as others do, and those go on.
func TestChecksOfADeadFileSystem(t *testing.T) {
	fs, health := newDyingFS(t), freePort(t)
	touch(t, filepath.Join(fs.source, "alive"))
	u := start(t, &made, "--health-addr", health, "--live-check", "file:"+fs.path("alive"), "--live-check", "unix:"+fs.path("socket"), "--live-check", "file:/",
		"--live-period", "200ms", "--live-timeout", "1s", "--live-failure-threshold", "1", "--", "sleep", "1000")
	base := "http://" + health
	wantBody(t, base+"/livez", 503, "[+]live-1 ok\n[-]live-2 failed: no such file or directory (")
	fs.die()
	wantBody(t, base+"/livez", 503, "[-]live-1 failed: timeout after 1s: no answer from the file system (", "[-]live-2 failed: timeout after 1s: no answer from the file system (", "[+]live-3 ok\n")
	u.signal(unix.SIGTERM)
	u.want(143)
}

// Where not even SIGKILL ends what waits for the file system, usher still does all of its work. Only its own end has to wait, as any process's.
func TestChecksOfAFileSystemThatHangs(t *testing.T) {
	fs, health := newDyingFS(t), freePort(t)
	touch(t, filepath.Join(fs.source, "alive"))
	log := newLog(t)
	u := start(t, &made, "--health-addr", health, "--live-check", "file:"+fs.path("alive"), "--live-period", "200ms", "--live-timeout", "500ms", "--live-failure-threshold", "1",
		"--termination-log", log, "--", "sleep", "1000")
	wantBody(t, "http://"+health+"/livez?verbose", 200, "[+]live-1 ok\n")
	fs.hang()
	wantBody(t, "http://"+health+"/livez", 503, "[-]live-1 failed: timeout after 500ms: no answer from the file system (")
	u.signal(unix.SIGTERM)
	eventually(t, func() error {
		if word, _ := os.ReadFile(log); !strings.Contains(string(word), "app gone") {
			return fmt.Errorf("the last word: %q", word)
		}
		return nil
	})
	fs.end()
	u.want(143)
}

func TestProbesOfADeadFileSystem(t *testing.T) {
	fs := deadFS(t)
	for _, spec := range []string{"file:", "unix:"} {
		spec += fs.path("x")
		for _, checker := range checkers() {
			u := commandHere(t, &build{path: checker[0]}, append(checker[1:], spec)...)
			if code := u.begin().wait(); code != 1 || !strings.HasSuffix(u.stdout.String(), "timeout after 300ms: no answer from the file system\n") {
				t.Errorf("%q: %d\n%s%s", checker, code, &u.stdout, &u.stderr)
			}
		}
	}
}

// A wait for what is there has its limit, whatever its file system does.
func TestWaitForADeadFileSystem(t *testing.T) {
	fs := deadFS(t)
	for _, spec := range []string{"file:", "unix:"} {
		u := start(t, &made, "--wait-for", spec+fs.path("x"), "--wait-timeout", "300ms", "--", "echo", "started")
		u.want(124)
		if u.stdout.String() != "" {
			t.Errorf("stdout: %s", &u.stdout)
		}
	}
}

// fullSocket listens at a socket whose queue is full: its server hangs.
func fullSocket(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "hung")
	for _, dir := range []string{filepath.Dir(path), filepath.Dir(filepath.Dir(path))} {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	server, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(server) })
	client, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(client) })
	at := &unix.SockaddrUnix{Name: path}
	if err := errors.Join(unix.Bind(server, at), unix.Listen(server, 0), unix.Chmod(path, 0o777), unix.Connect(client, at)); err != nil {
		t.Fatal(err)
	}
	return path
}

// Where the app has filled its limit of processes, checks that hang fail, and do not take usher along: none needs a thread that is not there.
// With 5a6c03f all three failed in each of 5 runs: usher was gone.
func TestHungChecksWithoutRoomForAThread(t *testing.T) {
	bomb := bombPath(t)
	fs, hung := deadFS(t), fullSocket(t)
	for i, spec := range []string{"unix:" + hung, "file:" + fs.path("x"), "unix:" + fs.path("x")} {
		t.Run(spec[:5]+[]string{"full", "dead", "dead"}[i], func(t *testing.T) {
			t.Parallel()
			health := freePort(t)
			args := []string{"--health-addr", health, "--live-period", "100ms", "--live-timeout", "200ms", "--live-failure-threshold", "1", "--live-check", "file:/"}
			for range 20 { // more than may wait for a file system at a time
				args = append(args, "--live-check", spec)
			}
			uid := 54500 + i
			u := command(t, &made, append(args, "--", bomb)...)
			u.inShell(fmt.Sprintf("exec taskset -c 0 prlimit --nproc=%d:%[1]d setpriv --reuid %d --regid %[2]d --clear-groups \"$@\"", 50, uid))
			u.begin()
			u.printed("full\n")
			for n := range 20 {
				wantBody(t, "http://"+health+"/livez", 503, fmt.Sprintf("[-]live-%d failed: timeout after 200ms: no ", n+2), " times in a row, for ")
			}
			if strings.HasPrefix(spec, "unix:"+hung) {
				wantBody(t, "http://"+health+"/livez", 503, "[+]live-1 ok\n")
			}
			u.signal(unix.SIGTERM)
			u.want(3)
		})
	}
}

// checkers are the programs that run one check, and the flags before it.
func checkers() [][]string {
	return [][]string{{made.path, "--ready-timeout", "300ms", "--probe"}, {filepath.Join(filepath.Dir(made.path), "usher-check"), "--timeout", "300ms"}}
}

// What a resolver reads may be on a file system that has died, too.
func TestResolverOnADeadFileSystem(t *testing.T) {
	fs, health := newDyingFS(t), freePort(t)
	for _, name := range []string{"hosts", "resolv.conf"} {
		if err := os.WriteFile(filepath.Join(fs.source, name), []byte("127.0.0.1 here.example\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	u := command(t, &made, "--health-addr", health, "--live-check", "tcp://here.example:"+health[len("127.0.0.1:"):], "--live-check", "file:/", "--live-period", "200ms", "--live-timeout", "1s",
		"--live-failure-threshold", "1", "--", "sh", "-c", `while read -r command; do eval "$command"; echo "code $?"; done`)
	stdin, err := u.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	u.inShell("mount --bind " + fs.path("hosts") + " /etc/hosts && mount --bind " + fs.path("resolv.conf") + " /etc/resolv.conf && exec \"$@\"").begin()
	wantBody(t, "http://"+health+"/livez?verbose", 200, "[+]live-1 ok\n[+]live-2 ok\n")
	fs.die()
	wantBody(t, "http://"+health+"/livez", 503, "[-]live-1 failed: timeout after 1s: no answer from the file system (", "[+]live-2 ok\n")
	n := 0
	for _, checker := range checkers() {
		for _, kind := range []string{"tcp", "http"} {
			fmt.Fprintln(stdin, strings.Join(checker, " "), kind+"://there.example:80")
			n++
			eventuallyCount(t, u, "\ncode 1\n", n)
			eventuallyCount(t, u, "timeout after 300ms", n)
		}
	}
	fmt.Fprintln(stdin, checkers()[1][0], "--timeout 300ms --ca", fs.path("ca.pem"), "https://127.0.0.1:1/")
	u.printed("\ntimeout after 300ms\ncode 1\n")
	u.signal(unix.SIGTERM)
	u.want(143)
}
