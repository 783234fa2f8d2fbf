package main_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// What the environment says to Go programs is meant for the app, and must not bring usher down or make it talk.
func TestGoEnvironment(t *testing.T) {
	eachBuild(t, func(t *testing.T, b *build) {
		for _, env := range []string{"GOGC=off", "GOGC=nonsense", "GOMEMLIMIT=1", "GOMEMLIMIT=nonsense", "GODEBUG=asyncpreemptoff=0", "GODEBUG=inittrace=1",
			"GODEBUG=nonsense", "GOMAXPROCS=1", "GOMAXPROCS=1000", "GOTRACEBACK=crash"} {
			if !b.complete && (env == "GOMEMLIMIT=nonsense" || env == "GODEBUG=inittrace=1") {
				continue // a plain Go program dies of the one and talks about the other
			}
			u := command(t, b, "--", "sh", "-c", app, "0")
			u.cmd.Env = append(u.cmd.Env, env)
			u.begin().printed("ready\n")
			u.signal(unix.SIGUSR1)
			u.printed("got USR1\n")
			u.signal(unix.SIGTERM)
			u.want(42)
			if out := u.stderr.String(); strings.Count(out, "\n") != 1 || !strings.HasPrefix(out, "usher: Error: exit code 42") {
				t.Errorf("%s: %s", env, out)
			}
		}
	})
}

// Closed standard descriptors are no reason not to run, and the app finds them as usher did.
func TestClosedDescriptors(t *testing.T) {
	list := `for fd in 0 1 2; do if [ -e /proc/self/fd/$fd ]; then echo $fd; fi; done > "$0"`
	for _, closed := range []string{"0<&-", "1>&-", "2>&-", "0<&- 1>&-", "0<&- 1>&- 2>&-"} {
		out := filepath.Join(t.TempDir(), "out")
		u := commandHere(t, &made, "-v", "--", "bash", "-c", list, out)
		bare := filepath.Join(t.TempDir(), "bare")
		if err := exec.Command("bash", "-c", fmt.Sprintf(`exec bash -c '%s' %s %s`, list, bare, closed)).Run(); err != nil {
			t.Fatal(err)
		}
		u.cmd.Args = append([]string{"bash", "-c", `exec "$@" ` + closed, "bash", made.path}, u.cmd.Args[1:]...)
		u.cmd.Path = "/bin/bash"
		u.begin().want(0)
		if got, want := readLog(t, out), readLog(t, bare); made.complete && got != want {
			t.Errorf("%s: the app has %q, without usher %q", closed, strings.Fields(got), strings.Fields(want))
		}
	}
}

// The app has the very descriptors that usher was given, others than 0 to 2 as well, and none of usher's own.
func TestDescriptorsAreInherited(t *testing.T) {
	eachBuild(t, func(t *testing.T, b *build) {
		// What this test's own process has open without close-on-exec is there in both cases.
		list := []string{"sh", "-c", "echo hello >&3; for fd in /proc/$$/fd/*; do readlink $fd || :; done"}
		open := func(args ...string) string {
			r, w, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			u := commandHere(t, b)
			path, err := exec.LookPath(args[0])
			if err != nil {
				t.Fatal(err)
			}
			u.cmd.Path, u.cmd.Args, u.cmd.ExtraFiles = path, args, []*os.File{w}
			u.begin().want(0)
			w.Close()
			got := make([]byte, 100)
			if n, _ := r.Read(got); string(got[:n]) != "hello\n" {
				t.Errorf("descriptor 3: %q", got[:n])
			}
			return regexp.MustCompile(`\d{3,}`).ReplaceAllString(u.stdout.String(), "N")
		}
		if got, want := open(append([]string{b.path, "--health-addr", "127.0.0.1:0", "--ready-check", "tcp://127.0.0.1:1", "--"}, list...)...), open(list...); got != want {
			t.Errorf("descriptors: %q, want %q", got, want)
		}
	})
}

// RLIMIT_NOFILE is the app's as usher was given it: the Go runtime raises it for itself.
func TestNoFileLimit(t *testing.T) {
	u := commandHere(t, &made, "--", "sh", "-c", "ulimit -Sn; ulimit -Hn")
	u.cmd.Args = append([]string{"sh", "-c", `ulimit -Sn 100 && exec "$@"`, "sh", made.path}, u.cmd.Args[1:]...)
	u.cmd.Path = "/bin/sh"
	u.begin().want(0)
	if lines := strings.Fields(u.stdout.String()); made.complete && (lines[0] != "100" || lines[1] == "100") {
		t.Errorf("limits: %q", lines)
	}
}

// So it is for the command that usher becomes, which has to lie beside it.
func TestNoFileLimitOfProbe(t *testing.T) {
	eachBuild(t, func(t *testing.T, b *build) {
		dir := t.TempDir()
		if out, err := exec.Command(b.path, "--install", filepath.Join(dir, "usher")).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		if err := os.WriteFile(filepath.Join(dir, "usher-check"), []byte("#!/bin/sh\nulimit -Sn; ulimit -Hn\n"), 0o755); err != nil {
			t.Fatal(err)
		}
		limits := func(command ...string) string {
			out, err := exec.Command("sh", append([]string{"-c", `ulimit -Sn 100 && exec "$@"`, "sh"}, command...)...).CombinedOutput()
			if err != nil {
				t.Errorf("%q: %v", command, err)
			}
			return string(out)
		}
		want := limits("sh", "-c", "ulimit -Sn; ulimit -Hn")
		if got := limits(filepath.Join(dir, "usher"), "--probe", "https://127.0.0.1:1"); got != want {
			t.Errorf("limits: %q, want %q", got, want)
		}
	})
}

// A log reader that has gone away or stalled must not end or hang PID 1.
func TestBrokenStderr(t *testing.T) {
	eachBuild(t, func(t *testing.T, b *build) {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		u := command(t, b, "-v", "--", "sh", "-c", app, "0")
		u.cmd.Stderr = w
		u.begin()
		w.Close()
		r.Close() // from here on a write is EPIPE
		u.printed("ready\n")
		u.signal(unix.SIGUSR1)
		u.printed("got USR1\n")
		u.signal(unix.SIGTERM)
		u.want(42)

		// The command can't be started, and nobody can be told.
		u = command(t, b, "/no/such/command")
		r, w, _ = os.Pipe()
		r.Close()
		u.cmd.Stderr = w
		u.begin().want(127)
		w.Close()
	})
}

func TestStalledStderr(t *testing.T) {
	eachBuild(t, func(t *testing.T, b *build) {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		fd := int(w.Fd()) // each call makes it blocking again
		if err := unix.SetNonblock(fd, true); err != nil {
			t.Fatal(err)
		}
		for full := make([]byte, 4096); err == nil; {
			_, err = unix.Write(fd, full)
		}
		unix.SetNonblock(fd, false)
		u := command(t, b, "-v", "--", "bash", "-c", app+" 2>/dev/null", "0")
		u.cmd.Stderr = w
		u.begin()
		w.Close()
		u.printed("ready\n")
		for range 600 { // more lines than there is room for
			u.signal(unix.SIGUSR1)
		}
		u.printed("got USR1\n")
		u.signal(unix.SIGTERM)
		u.want(42)
	})
}

// No /dev, no /proc, no /etc, a read-only root, another user: an image from scratch has nothing but usher and the app.
func TestEmptyRoot(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("chroot needs root")
	}
	root := t.TempDir()
	if err := os.Chmod(root, 0o755); err != nil {
		t.Fatal(err)
	}
	for to, from := range map[string]string{"/usher": made.path, "/app": receiver} {
		b, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(root+to, b, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	u := command(t, &made)
	script := `mount --bind ` + root + ` ` + root + ` && mount -o remount,bind,ro ` + root + ` && exec chroot --userspec 65534:65534 ` + root +
		` /usher -v --term-delay 100ms --health-addr 127.0.0.1:0 --ready-check tcp://localhost:1 -- /app`
	u.cmd.Path, u.cmd.Args = "/bin/sh", []string{"sh", "-c", script + " 0<&-"}
	u.begin().printed("ready\n")
	u.signal(unix.SIGUSR1)
	u.printed("\n10 ")
	u.signal(unix.SIGTERM)
	u.want(42)
}

// A program for another machine is told from a script; its message says so. Its own start must not be tried with a shell.
func TestNothingIsStartedTwice(t *testing.T) {
	marker := filepath.Join(t.TempDir(), "marker")
	u := start(t, &made, "--health-addr", "127.0.0.1:nonsense", "--", "touch", marker)
	u.want(125)
	if _, err := os.Stat(marker); err == nil {
		t.Error("the app was started in spite of a mistake")
	}
	// An address that is taken is found out before the start, too.
	addr := freePort(t)
	first := start(t, &made, "--health-addr", addr, "--", "sleep", "60")
	get(t, "http://"+addr+"/livez", 200)
	u = start(t, &made, "--health-addr", addr, "--", "touch", marker)
	u.want(125)
	if out := u.stderr.String(); !strings.Contains(out, "address already in use") {
		t.Errorf("log: %q", out)
	}
	if _, err := os.Stat(marker); err == nil {
		t.Error("the app was started though the endpoints could not be served")
	}
	first.signal(unix.SIGTERM)
	first.want(143)
}

// usher uses no time while nothing happens, and little else.
func TestIdle(t *testing.T) {
	u := start(t, &made, "--", "sleep", "60")
	switches := func() (n int) {
		tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", u.cmd.Process.Pid))
		if err != nil {
			t.Fatal(err)
		}
		for _, task := range tasks {
			b, _ := os.ReadFile(task)
			for line := range strings.Lines(string(b)) {
				var k int
				if c, _ := fmt.Sscanf(line, "voluntary_ctxt_switches: %d", &k); c == 1 {
					n += k
				}
			}
		}
		return n
	}
	// The runtime settles within a moment of the start; from then on no thread may wake up.
	for last, deadline := -1, time.Now().Add(patience); ; {
		n := switches()
		if n == last {
			if r := u.resources(); made.complete && (r.threads != 6 || r.privateKB > 900) {
				t.Errorf("%+v: docs/reference/the-app.md has six threads, and bench less than 900 kB", r)
			}
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("still waking up: %d context switches", n)
		}
		last = n
		time.Sleep(time.Second) // the span in which nothing may happen
	}
}
