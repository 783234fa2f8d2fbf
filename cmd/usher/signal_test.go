package main_test

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"usher/signals"
)

// trapAll is a shell that prints the number of each signal it gets, and exits with 42 on SIGTERM.
func trapAll() string {
	var b strings.Builder
	for _, sig := range forwardable() {
		if sig != unix.SIGTERM {
			fmt.Fprintf(&b, "trap 'echo got %d.' %d; ", sig, sig)
		}
	}
	return b.String() + `trap 'exit 42' TERM; echo ready; while :; do sleep 0.01; done`
}

// forwardable is every signal that a process can catch, but for SIGCHLD and what the C library keeps for itself.
func forwardable() (all []signals.Signal) {
	for sig := signals.Signal(1); sig <= signals.RTMax; sig++ {
		switch sig {
		case unix.SIGKILL, unix.SIGSTOP, unix.SIGCHLD, 32, 33:
		default:
			all = append(all, sig)
		}
	}
	return all
}

// lostByNotify are the signals that signals/source_notify.go can't forward.
var lostByNotify = map[signals.Signal]bool{unix.SIGURG: true, unix.SIGPIPE: true, unix.SIGXFSZ: true, unix.SIGPROF: true, 34: true}

func TestEverySignalIsForwarded(t *testing.T) {
	eachBuild(t, func(t *testing.T, b *build) {
		for _, as := range []struct {
			name  string
			start func(*testing.T, *build, ...string) *usher
		}{
			{"PID 1", command},
			{"subreaper", commandHere},
		} {
			t.Run(as.name, func(t *testing.T) {
				u := as.start(t, b, "--", "sh", "-c", trapAll()).begin()
				u.printed("ready\n")
				for _, sig := range forwardable() {
					if sig == unix.SIGTERM || !b.complete && lostByNotify[sig] {
						continue
					}
					u.signal(sig)
					u.printed(fmt.Sprintf("got %d.\n", sig))
				}
				u.signal(unix.SIGTERM)
				u.want(42)
			})
		}
	})
}

// got is whether an exit code shows that the app got SIGTERM or SIGUSR1: the receiver handled it, or died of it because it had
// come before the receiver blocked its signals.
func got(code int) bool { return code == 42 || code == 128+15 || code == 128+10 }

// entered waits until usher has its signals blocked.
func (u *usher) entered() {
	u.t.Helper()
	status := fmt.Sprintf("/proc/%d/status", u.cmd.Process.Pid)
	eventually(u.t, func() error {
		b, err := os.ReadFile(status)
		if err != nil {
			return err
		}
		_, mask, _ := strings.Cut(string(b), "SigBlk:\t")
		// In sigtimedwait(2) the kernel shows the mask without what is waited for; there are threads then.
		if !strings.HasPrefix(mask, "fffffffe7ffbfeff") && strings.Contains(string(b), "Threads:\t1\n") {
			return fmt.Errorf("signals not blocked: %.16s", mask)
		}
		return nil
	})
}

// An ordinary init loses what comes before its handlers are there, or dies of it. Once usher has its signals blocked, which is
// among its first instructions, none is lost; the Go runtime has then not even started.
func TestSignalFromTheFirstInstruction(t *testing.T) {
	if !made.complete {
		t.Skip("no entry point of our own on this architecture")
	}
	fromTheFirstInstruction(t, &made, 100)
}

func fromTheFirstInstruction(t *testing.T, b *build, rounds int) {
	t.Helper()
	for i := range rounds {
		u := start(t, b, "--", receiver)
		u.entered()
		sig := []signals.Signal{unix.SIGUSR1, unix.SIGTERM}[i%2]
		u.signal(sig)
		if sig == unix.SIGUSR1 {
			eventually(t, func() error {
				select {
				case <-u.done: // died of it
				default:
					if !strings.Contains(u.stdout.String(), "\n10 ") {
						return fmt.Errorf("SIGUSR1 was lost: %q", &u.stdout)
					}
					u.signal(unix.SIGTERM)
				}
				return nil
			})
		}
		if code := u.wait(); !got(code) {
			t.Fatalf("exit code %d\n%s", code, &u.stderr)
		}
	}
}

// Before that, a signal does what it does to any process: nothing, if it is PID 1. A Go program as PID 1 is then in danger until signal.Notify: its
// runtime has a handler already and ends the process with 2 (20 to 40 of 200). usher is not, and it always starts the app.
func TestSignalDoesNotEndTheStart(t *testing.T) {
	if !made.complete {
		t.Skip("no entry point of our own on this architecture")
	}
	for i := range 150 {
		u := start(t, &made, "--", receiver)
		pause := time.Duration(i) * 20 * time.Microsecond
		for begin := time.Now(); time.Since(begin) < pause; {
		}
		u.signal(unix.SIGTERM)
		again := false
		eventually(t, func() error {
			select {
			case <-u.done:
				return nil
			default:
			}
			// The app runs: either it is about to end, or the signal came too early. A second one makes no difference to the former.
			if !again && strings.Contains(u.stdout.String(), "ready\n") {
				again = true
				if err := u.cmd.Process.Signal(unix.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
					return err
				}
			}
			return fmt.Errorf("usher has not ended: %q", &u.stderr)
		})
		if code := u.wait(); !got(code) {
			t.Fatalf("exit code %d\n%s", code, &u.stderr)
		}
	}
}

// sigqueue is rt_sigqueueinfo(2) with a value.
func sigqueue(pid int, sig signals.Signal, value uint64) error {
	info := struct {
		signo, errno, code, _ int32
		pid                   int32
		uid                   uint32
		value                 uint64
		_                     [96]byte
	}{signo: int32(sig), code: -1, pid: int32(os.Getpid()), value: value}
	if _, _, errno := unix.Syscall(unix.SYS_RT_SIGQUEUEINFO, uintptr(pid), uintptr(sig), uintptr(unsafe.Pointer(&info))); errno != 0 {
		return errno
	}
	return nil
}

// Real-time signals do not coalesce, and keep their order and value (signal(7)).
func TestQueuedSignals(t *testing.T) {
	if !made.complete {
		t.Skip("os/signal coalesces")
	}
	const n = 10_000
	u := start(t, &made, "--", receiver)
	u.printed("ready\n")
	for i := range n {
		if err := sigqueue(u.cmd.Process.Pid, 40, uint64(i)<<8); err != nil {
			t.Fatal(err)
		}
	}
	last := fmt.Sprintf("40 -1 0 %d\n", (n-1)<<8)
	u.printed(last)
	u.signal(unix.SIGTERM)
	u.want(42)
	in := bufio.NewScanner(strings.NewReader(u.stdout.String()))
	next := 0
	for in.Scan() {
		if want := fmt.Sprintf("40 -1 0 %d", next<<8); strings.HasPrefix(in.Text(), "40 ") {
			if in.Text() != want {
				t.Fatalf("signal %d of %d: %q, want %q", next, n, in.Text(), want)
			}
			next++
		}
	}
	if next != n {
		t.Fatalf("%d of %d arrived", next, n)
	}
}

// Distinct signals sent in one burst all arrive, those that os/signal never sees among them.
func TestBurst(t *testing.T) {
	if !made.complete {
		t.Skip("os/signal loses URG and PROF")
	}
	u := start(t, &made, "--", receiver)
	u.printed("ready\n")
	u.signal(unix.SIGSTOP) // all of them queue up
	for _, sig := range forwardable() {
		if sig != unix.SIGTERM && sig != unix.SIGCONT && sig < 32 {
			u.signal(sig)
		}
	}
	u.signal(unix.SIGCONT)
	for _, sig := range forwardable() {
		switch sig {
		case unix.SIGTERM, unix.SIGTSTP, unix.SIGTTIN, unix.SIGTTOU: // SIGCONT takes the last three back (signal(7))
		default:
			if sig < 32 {
				u.printed(fmt.Sprintf("\n%d 0 ", sig))
			}
		}
	}
	u.signal(unix.SIGTERM)
	u.want(42)
}

func TestRewrite(t *testing.T) {
	eachBuild(t, func(t *testing.T, b *build) {
		u := start(t, b, "-r", "USR1:USR2", "--rewrite=hup:0", "-r", "SIGINT:RTMIN+3", "--", "sh", "-c", trapAll())
		u.printed("ready\n")
		u.signal(unix.SIGUSR1)
		u.printed("got 12.\n")
		u.signal(unix.SIGHUP)
		u.signal(unix.SIGINT)
		u.printed("got 37.\n")
		u.signal(unix.SIGUSR2)
		u.signal(unix.SIGTERM)
		u.want(42)
		if strings.Contains(u.stdout.String(), "got 1.") {
			t.Error("a swallowed signal reached the app")
		}
	})
}

// group is an app with a child in its process group that reports for itself.
var group = script("group.sh")

func TestProcessGroup(t *testing.T) {
	eachBuild(t, func(t *testing.T, b *build) {
		u := start(t, b, "-g", "--", "sh", "-c", group)
		u.printed("app ready")
		u.printed("child ready")
		u.signal(unix.SIGUSR1)
		u.printed("child got it")
		u.printed("app got it")
		u.signal(unix.SIGTERM)
		u.want(42)

		u = start(t, b, "--", "sh", "-c", strings.Replace(group, "wait; ", "", 1))
		u.printed("app ready")
		u.printed("child ready")
		u.signal(unix.SIGUSR1)
		u.printed("app got it")
		u.signal(unix.SIGTERM)
		u.want(42)
		if strings.Contains(u.stdout.String(), "child got it") {
			t.Error("without -g a signal went to the group")
		}
	})
}

// In group mode a signal at birth must not be lost because the group is not there yet.
func TestGroupSignalAtBirth(t *testing.T) {
	for i := range 50 {
		u := start(t, &made, "-g", "--", receiver)
		u.entered()
		pause := time.Duration(i) * 30 * time.Microsecond
		for begin := time.Now(); time.Since(begin) < pause; {
		}
		u.signal(unix.SIGTERM)
		if code := u.wait(); !got(code) {
			t.Fatalf("exit code %d\n%s", code, &u.stderr)
		}
	}
}

// The app is given the signal mask and the ignored signals that usher was started with.
func TestInheritedSignalState(t *testing.T) {
	if _, err := os.Stat("/usr/bin/perl"); err != nil {
		t.Skip("needs perl to block a signal")
	}
	// A shell can't block signals; perl-base is on every Debian.
	script := filepath.Join(t.TempDir(), "blocked")
	if err := os.WriteFile(script, []byte(`use POSIX;
$SIG{$_} = 'IGNORE' for qw(INT HUP USR1 PIPE TTOU CHLD SEGV);
sigprocmask(SIG_BLOCK, POSIX::SigSet->new(SIGTERM, SIGUSR2, SIGILL, SIGTTIN, 45));
exec @ARGV or die $!;`), 0o644); err != nil {
		t.Fatal(err)
	}
	state := func(args ...string) string {
		t.Helper()
		u := &usher{t: t, done: make(chan struct{})}
		u.cmd = commandHere(t, &made).cmd
		u.cmd.Stdout, u.cmd.Stderr = &u.stdout, &u.stderr
		u.cmd.Path, u.cmd.Args = "/usr/bin/perl", append([]string{"perl", script}, args...)
		u.begin().want(0)
		return u.stdout.String()
	}
	grep := []string{"grep", "-E", "SigBlk|SigIgn", "/proc/self/status"}
	bare := state(grep...)
	if !strings.Contains(bare, "SigBlk:\t0000100000104808") {
		t.Fatalf("the test's own preparation failed:\n%s", bare)
	}
	if got := state(append([]string{made.path, "--"}, grep...)...); made.complete && got != bare {
		t.Errorf("under usher:\n%swithout:\n%s", got, bare)
	}
	if got := state(append([]string{plain.path, "--"}, grep...)...); !strings.Contains(got, "SigIgn:") {
		t.Errorf("under a plain build:\n%s", got)
	}
}

// 10,000 orphans come and go while signals do, and none is left as a zombie.
func TestOrphans(t *testing.T) {
	const n = 10_000
	eachBuild(t, func(t *testing.T, b *build) {
		u := command(t, b, "-v", "--health-addr", "127.0.0.1:0", "--", "sh", "-c", script("orphans.sh"), strconv.Itoa(n/20))
		u.begin()
		u.printed("ready\n")
		for deadline := time.Now().Add(4 * patience); !strings.Contains(u.stdout.String(), "done\n"); {
			u.signal(unix.SIGUSR1)
			time.Sleep(time.Millisecond)
			if time.Now().After(deadline) {
				t.Fatalf("zombies are left\n%s%s", &u.stdout, &u.stderr)
			}
		}
		u.signal(unix.SIGTERM)
		u.want(42)
	})
}

// usher that is not PID 1 adopts orphans, without being asked.
func TestSubreaper(t *testing.T) {
	eachBuild(t, func(t *testing.T, b *build) {
		// Once the subshell between them has ended, the orphan says who its parent is.
		u := commandHere(t, b, "--", "sh", "-c", `
(sh -c 'until [ -e "$0" ]; do sleep 0.01; done; cut -d" " -f4 /proc/$$/stat; rm "$0"' "$0" &)
: >"$0"; while [ -e "$0" ]; do sleep 0.01; done; echo "$PPID"`, filepath.Join(t.TempDir(), "orphaned")).begin()
		u.want(0)
		lines := strings.Fields(u.stdout.String())
		if len(lines) != 2 || lines[0] != lines[1] {
			t.Errorf("the orphan's parent is not usher:\n%s", &u.stdout)
		}
	})
}

// Who sent it is in the log and in the last word.
func TestSender(t *testing.T) {
	if !made.complete {
		t.Skip("os/signal has no sender")
	}
	log := newLog(t)
	u := start(t, &made, "--termination-log", log, "--", "sh", "-c", "kill -TERM 1; sleep 10")
	u.want(143)
	if word := readLog(t, log); !regexp.MustCompile(`SIGTERM from pid \d+ \(uid 0\)`).MatchString(word) {
		t.Errorf("termination log: %q", word)
	}
}
