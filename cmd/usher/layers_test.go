package main_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// layers are the tags of the entry point's layers, from the lowest up, each on those before it: signals/entry/VERIFY.md.
var layers = []string{"usher_entry", "usher_threads", "usher_early"}

// makeWith is `make build` of the first n layers.
func makeWith(t *testing.T, n int, arch string) *build {
	t.Helper()
	name := arch + " without layers"
	if n > 0 {
		name = arch + " with " + strings.Join(layers[:n], " ")
	}
	b := &build{name, filepath.Join(t.TempDir(), "usher"), n > 0}
	if err := os.Chmod(filepath.Dir(b.path), 0o755); err != nil { // for other users
		t.Fatal(err)
	}
	if out, err := exec.Command("make", "-s", "-C", "../..", "build", "CHECK=", "GOARCH="+arch, "OUT="+b.path, "LAYERS="+strings.Join(layers[:n], " ")).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return b
}

// An usher with fewer layers of the entry point says which it lacks, and does what the others do. All of them are what every other test here runs.
func TestLayers(t *testing.T) {
	if !made.complete || raceDetector {
		t.Skip("no entry point of our own on this architecture, or with the race detector")
	}
	for n := range len(layers) {
		b := makeWith(t, n, runtime.GOARCH)
		t.Run(b.name, func(t *testing.T) {
			t.Parallel()
			u := commandHere(t, b, "--version").begin()
			u.want(0)
			if out := u.stdout.String(); !strings.HasSuffix(out, "\nwithout "+strings.Join(layers[n:], " ")+"\n") || strings.Count(out, "\n") != 2 {
				t.Errorf("--version: %q", out)
			}
			for _, c := range startCases(t) {
				u := start(t, b, append([]string{"--"}, c.command...)...)
				if u.want(c.code); !strings.Contains(u.stderr.String(), c.says) {
					t.Errorf("%s: %q does not say %q", c.name, &u.stderr, c.says)
				}
			}
			u = start(t, b, "--term-delay", "100ms", "--termination-tail", "3", "--", "sh", "-c", trapAll())
			u.printed("ready\n")
			for _, sig := range forwardable() {
				if sig != unix.SIGTERM && (b.complete || !lostByNotify[sig]) {
					u.signal(sig)
					u.printed(fmt.Sprintf("got %d.\n", sig))
				}
			}
			u.signal(unix.SIGTERM)
			u.want(42)
			if b.complete {
				fromTheFirstInstruction(t, b, 20)
			}
			if os.Getuid() == 0 {
				bombed(t, b, 54000+20*n, 10)
			}
		})
	}
	if u := commandHere(t, &made, "--version").begin(); u.wait() != 0 || strings.Count(u.stdout.String(), "\n") != 1 {
		t.Errorf("with all layers: %q", &u.stdout)
	}
}

// A program that leaves out the pins (signals/entry/pin_*.go) is for looking into. It does not run, and starts nothing.
func TestUnverified(t *testing.T) {
	if !made.complete || raceDetector {
		t.Skip("no entry point of our own on this architecture, or with the race detector")
	}
	b := build{"unverified", filepath.Join(t.TempDir(), "usher"), true}
	cmd := exec.Command("go", "build", "-tags", strings.Join(layers, " ")+" usher_entry_unverified", "-ldflags", "-checklinkname=0 -E usher/signals/entry.entry", "-o", b.path, ".")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, u := range []*usher{command(t, &b, "--", "echo", "ran"), commandHere(t, &b, "-q", "echo", "ran")} {
		u.begin().want(125)
		if u.stdout.String() != "" || !strings.Contains(u.stderr.String(), "not verified for go1.") || !strings.Contains(u.stderr.String(), "use make build") {
			t.Errorf("stdout %q, stderr %q", &u.stdout, &u.stderr)
		}
	}
}

// Where more threads are wanted than can be kept in reserve, the Go runtime makes them itself, all of them before the app. Here there is room for six,
// by another threads.go.
func TestMoreThreadsThanReserved(t *testing.T) {
	if !made.complete || raceDetector {
		t.Skip("no entry point of our own on this architecture, or with the race detector")
	}
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	source, err := filepath.Abs("../../signals/entry/threads.go")
	if err != nil {
		t.Fatal(err)
	}
	text := readLog(t, source)
	few := strings.Replace(text, "const slots = 28", "const slots = 6", 1)
	if few == text {
		t.Fatal("threads.go does not say how many there are")
	}
	overlay := filepath.Join(dir, "overlay.json")
	for path, text := range map[string]string{"threads.go": few, "overlay.json": fmt.Sprintf(`{"Replace": {%q: %q}}`, source, filepath.Join(dir, "threads.go"))} {
		if err := os.WriteFile(filepath.Join(dir, path), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	b := build{"six slots", filepath.Join(dir, "usher"), true}
	cmd := exec.Command("go", "build", "-overlay", overlay, "-tags", strings.Join(layers, " "), "-ldflags", "-checklinkname=0 -E usher/signals/entry.entry", "-o", b.path, ".")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	u := start(t, &b, "--termination-tail", "3", "--", "sh", "-c", "echo ready; exec sleep 60")
	u.printed("ready\n")
	_, threads, _ := strings.Cut(readLog(t, fmt.Sprintf("/proc/%d/status", u.cmd.Process.Pid)), "\nThreads:\t")
	threads, _, _ = strings.Cut(threads, "\n")
	if n, err := strconv.Atoi(threads); n < 9 || err != nil { // the loop's, and eight more
		t.Errorf("%s threads (%v) when the app had begun", threads, err)
	}
	u.signal(unix.SIGTERM)
	u.want(143)
	if os.Getuid() != 0 {
		return
	}
	for limit := 2; limit < 9; limit++ { // without room for all of them, nothing is started
		u = command(t, &b, "--termination-tail", "3", "--", "echo", "ran")
		u.inShell(fmt.Sprintf(`exec prlimit --nproc=%d:%[1]d setpriv --reuid %d --regid %[2]d --clear-groups "$@"`, limit, 54280+limit))
		u.begin().want(125)
		if out := u.stderr.String(); u.stdout.String() != "" || !regexp.MustCompile(`usher: hint: .*processes`).MatchString(out) {
			t.Errorf("at most %d processes: stdout %q, stderr %q", limit, &u.stdout, out)
		}
	}
}

// The app is started once, also where usher loses patience with its execve(2) in the moment it returns. The calls of that moment are delayed, one
// after the other, or refused.
func TestEarlyStartsOnce(t *testing.T) {
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Skip(err)
	}
	if !made.complete || raceDetector || os.Getuid() != 0 {
		t.Skip("needs an entry point of our own, and root, to see into a PID namespace")
	}
	for name, inject := range map[string]string{
		"before the kill":    "inject=kill:delay_enter=2s:when=1",
		"before the stop":    "inject=kill:delay_enter=2s:when=2",
		"after the stop":     "inject=setpgid:delay_enter=2s:when=2",
		"stop is refused":    "inject=kill:error=EPERM",
		"setpgid is refused": "inject=setpgid:error=EPERM",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			slow, release := lease(t, "echo started; sleep 0.2; exit 5")
			dir := t.TempDir()
			u := command(t, &made)
			u.cmd.SysProcAttr = nil
			u.cmd.Path, u.cmd.Args = strace, []string{"strace", "-qq", "-f", "-o", filepath.Join(dir, "trace"), "-e", "trace=execve,kill,setpgid", "-e", inject, "-e", "signal=none",
				"unshare", "--pid", "--fork", "--kill-child", made.path, "--", slow}
			u.cmd.Env = append(noLog, "PATH=/bin:/usr/bin")
			u.begin()
			eventually(t, func() error { // the child is in its execve
				if trace, err := os.ReadFile(filepath.Join(dir, "trace")); err != nil || !strings.Contains(string(trace), "execve(\""+slow) {
					return fmt.Errorf("no execve of the app: %v\n%s", err, trace)
				}
				return nil
			})
			time.Sleep(300 * time.Millisecond) // three times as long as usher's patience
			release()
			u.wait()
			if out := u.stdout.String(); strings.Count(out, "started\n") != 1 {
				t.Errorf("stdout %q, stderr %q\n%s", out, &u.stderr, readLog(t, filepath.Join(dir, "trace")))
			}
		})
	}
}
