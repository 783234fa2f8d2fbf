package main_test

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// With few descriptors usher starts the app, hands it its signals and has its exit code; a start takes two, and without them it says so. (A plain build's signals
// come through the runtime's poller, which needs one.)
func TestNoDescriptorLeft(t *testing.T) {
	if !made.complete {
		t.Skip("no entry point of our own on this architecture")
	}
	limited := func(n int) *usher {
		u := command(t, &made, "--term-delay", "100ms", "--termination-log", newLog(t), "--", receiver)
		u.cmd.Args = append([]string{"sh", "-c", fmt.Sprintf(`ulimit -n %d && exec "$@"`, n), "sh", made.path}, u.cmd.Args[1:]...)
		u.cmd.Path = "/bin/sh"
		return u.begin()
	}
	u := limited(3)
	u.want(125)
	u.logged("cannot make a pipe: too many open files")
	u = limited(7)
	u.printed("ready\n")
	u.signal(unix.SIGUSR1)
	u.printed("\n10 ")
	u.signal(unix.SIGTERM)
	u.want(42)
}

// Where usher may not wait for processes, it starts none: it would wait for ever.
func TestMayNotWait(t *testing.T) {
	refuse(t, unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: unix.SYS_WAIT4, Jf: 1})
	for _, flag := range []string{"--", "-q"} {
		u := start(t, &made, flag, "echo", "started")
		u.want(125)
		if u.explained("cannot wait for processes: operation not permitted", ""); u.stdout.String() != "" {
			t.Errorf("stdout: %s", &u.stdout)
		}
	}
}

// Whatever else arrives, what is due is done in time.
func TestSignalStormDoesNotDelayTheKill(t *testing.T) {
	eachBuild(t, func(t *testing.T, b *build) {
		u := start(t, b, "--grace-period", "1s", "--", "sh", "-c", "trap '' TERM USR1 USR2; echo ready; while :; do sleep 1; done")
		u.printed("ready\n")
		var storm sync.WaitGroup
		for _, sig := range []unix.Signal{unix.SIGUSR1, unix.SIGUSR2} {
			storm.Go(func() {
				for {
					select {
					case <-u.done:
						return
					default:
						u.cmd.Process.Signal(sig)
					}
				}
			})
		}
		begin := time.Now()
		u.signal(unix.SIGTERM)
		u.want(137)
		storm.Wait()
		if took := time.Since(begin); took > 5*time.Second {
			t.Errorf("SIGKILL came after %v", took)
		}
	})
}

// An app that has moved to another process group gets its signals all the same.
func TestGroupThatTheAppHasLeft(t *testing.T) {
	eachBuild(t, func(t *testing.T, b *build) {
		u := commandHere(t, b, "-g", "--", "python3", "-c", `
import os, signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(5))
os.setpgid(0, os.getpgid(os.getppid()))
print("ready", flush=True)
while True: time.sleep(60)`)
		u.begin().printed("ready\n")
		u.signal(unix.SIGTERM)
		u.want(5)
	})
}

// Whatever limit of memory there is: usher says that it is too small, in two lines at most and before the app is started, or runs the app. The Go
// runtime's trace, and 2, were what 5a6c03f had for each that is too small.
func TestLimitOfMemory(t *testing.T) {
	eachBuild(t, func(t *testing.T, b *build) {
		if raceDetector && b == &plain {
			t.Skip("the race detector needs terabytes of address space")
		}
		ran := 0
		limits := []string{"as=20", "as=400", "as=100000"}
		for mb := 20; mb <= 60; mb += 2 {
			limits = append(limits, fmt.Sprintf("data=%d", mb))
		}
		for i, limit := range append(limits, "data=1000") {
			u := command(t, b, []string{"-q", "--termination-tail=3"}[i%2], "--", "sh", "-c", "echo ran; exit 7")
			u.inShell("exec prlimit --" + limit + "000000 \"$@\"").begin()
			switch code, out := u.wait(), u.stderr.String(); {
			case code == 7 && u.stdout.String() == "ran\n":
				ran++
			case code != 125 || u.stdout.String() != "" || !strings.HasPrefix(out, "usher: ") || strings.Count(out, "\n") > 2:
				t.Errorf("%s: exit code %d, stdout %q, stderr %q", limit, code, &u.stdout, out)
			}
		}
		if ran < 2 {
			t.Errorf("the app ran with %d limits", ran)
		}
	})
}

// After unshare(2) of a PID namespace, a process can make children there, but no threads: usher can't run, and says so. Of 5a6c03f there was a trace
// and 2.
func TestNoThreadsAtAll(t *testing.T) {
	if _, err := namespaces(); err != nil || os.Getuid() != 0 {
		t.Skip("needs root, for unshare --pid")
	}
	if raceDetector {
		t.Skip("the race detector's threads are the C library's, which has a word of its own")
	}
	eachBuild(t, func(t *testing.T, b *build) {
		for _, args := range [][]string{{"--", "echo", "ran"}, {"--version"}, {"--plan", "--", "app"}, {"-q", "echo", "ran"}} {
			u := commandHere(t, b, args...)
			u.inShell("exec unshare --pid \"$@\"").begin().want(125)
			if out := u.stderr.String(); !strings.HasPrefix(out, "usher: ") || !strings.HasSuffix(out, "unshare --pid --fork\n") || strings.Count(out, "\n") != 2 {
				t.Errorf("%v: %q", args, out)
			}
		}
	})
}

// refuseCall refuses one system call, for this thread and what it starts.
func refuseCall(t *testing.T, call uint32) {
	t.Helper()
	refuse(t, unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: call, Jf: 1})
}

// descriptors counts what usher has open, by kind.
func (u *usher) descriptors() map[string]int {
	u.t.Helper()
	dir := fmt.Sprintf("/proc/%d/fd/", u.cmd.Process.Pid)
	entries, err := os.ReadDir(dir)
	if err != nil {
		u.t.Fatal(err)
	}
	kinds := map[string]int{}
	for _, e := range entries {
		if kind, err := os.Readlink(dir + e.Name()); err == nil && strings.HasPrefix(kind, "anon_inode:") {
			kinds[kind]++
		}
	}
	return kinds
}

// What the Go runtime opens for timers and sockets is open before the app is started, and not first when a stop looks at traffic. 5a6c03f had
// no epoll descriptor before, and two more during the hold.
func TestNothingIsOpenedForAHold(t *testing.T) {
	u := start(t, &made, "--term-delay", "1h", "--quiet-period", "1h", "--", receiver)
	u.printed("ready\n")
	before := u.descriptors()
	u.signal(unix.SIGTERM)
	u.logged("held back until traffic has been quiet")
	for range 20 { // as long as the look at traffic takes, and longer
		time.Sleep(10 * time.Millisecond)
		if during := u.descriptors(); fmt.Sprint(during) != fmt.Sprint(before) || during["anon_inode:[eventpoll]"] != 1 {
			t.Fatalf("before the hold %v, then %v", before, during)
		}
	}
}

// With few descriptors, or without those that the runtime needs, usher says so before the app is started, or runs through the whole of a stop. 5a6c03f
// ended with a trace and 2 in the middle of the stop, with 6 and each of the calls.
func TestStopWithFewDescriptors(t *testing.T) {
	ran := 0
	for limit := 3; limit <= 9; limit++ {
		u := command(t, &made, "--term-delay", "300ms", "--quiet-period", "100ms", "--drain-timeout", "100ms", "--", receiver)
		u.inShell(fmt.Sprintf(`exec prlimit --nofile=%d:%[1]d "$@"`, limit)).begin()
		if !u.readyOr125() {
			continue
		}
		ran++
		u.signal(unix.SIGTERM)
		u.want(42)
	}
	if ran == 0 {
		t.Error("no limit was enough")
	}
}

// readyOr125 waits for the receiver's first line, and returns false if usher has ended with a line instead.
func (u *usher) readyOr125() bool {
	u.t.Helper()
	eventually(u.t, func() error {
		select {
		case <-u.done:
			return nil
		default:
		}
		if !strings.Contains(u.stdout.String(), "ready\n") {
			return fmt.Errorf("neither ready nor gone: %s", &u.stderr)
		}
		return nil
	})
	if strings.Contains(u.stdout.String(), "ready\n") {
		return true
	}
	u.want(125)
	if out := u.stderr.String(); !strings.HasPrefix(out, "usher: ") || strings.Count(out, "\n") > 2 {
		u.t.Errorf("stderr: %s", out)
	}
	return false
}

func TestRefusedBeforeTheApp(t *testing.T) {
	hold := []string{"--term-delay", "1s", "--quiet-period", "100ms", "--", receiver}
	for name, tt := range map[string]struct {
		call uint32
		args []string
		says string
	}{
		"epoll_create1":           {unix.SYS_EPOLL_CREATE1, hold, "epoll_create1: operation not permitted"},
		"epoll_create1, notify:":  {unix.SYS_EPOLL_CREATE1, []string{"--ready-check", "notify:", "--", receiver}, "epoll_create1: operation not permitted"},
		"eventfd2":                {unix.SYS_EVENTFD2, hold, "eventfd2: operation not permitted"},
		"epoll_ctl":               {unix.SYS_EPOLL_CTL, hold, "epoll_ctl: operation not permitted"},
		"rt_sigtimedwait":         {unix.SYS_RT_SIGTIMEDWAIT, []string{"--", receiver}, "cannot wait for signals: rt_sigtimedwait: operation not permitted"},
		"rt_sigtimedwait, a flag": {unix.SYS_RT_SIGTIMEDWAIT, []string{"-q", "--", receiver}, "cannot wait for signals: rt_sigtimedwait: operation not permitted"},
		"wait4, nothing to run":   {unix.SYS_WAIT4, []string{"-P"}, "cannot wait for processes: operation not permitted"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			refuseCall(t, tt.call)
			u := command(t, &made, tt.args...)
			if tt.args[0] == "-P" {
				u.cmd.Args[0] = "catatonit"
			}
			u.begin().want(125)
			if out := u.stderr.String(); !strings.Contains(out, tt.says) || strings.Count(out, "\n") > 2 || u.stdout.String() != "" {
				t.Errorf("stderr: %s", out)
			}
		})
	}
}

// usher that may not kill waits for an app that does not end by itself no longer than the grace period, and takes it along. 5a6c03f waited for ever.
func TestMayNotKill(t *testing.T) {
	refuseCall(t, unix.SYS_KILL)
	for _, flags := range [][]string{{"--grace-period", "1s"}, {"--stop-schedule", "TERM/100ms/KILL"}, {"--grace-period", "2s", "--post-stop", "exec:echo post-stop"}} {
		log := newLog(t)
		u := start(t, &made, append(flags, "--termination-log", log, "--", receiver)...)
		u.printed("ready\n")
		u.signal(unix.SIGTERM)
		u.want(137)
		u.logged("cannot send SIGKILL to the app: operation not permitted")
		if word := readLog(t, log); !strings.HasPrefix(word, "StopTimeout: ") || !strings.Contains(word, "the app could not be killed: operation not permitted") {
			t.Errorf("%v: termination log: %q", flags, word)
		}
		if len(flags) > 2 {
			u.logged("post-stop: post-stop")
		}
	}
}

// An app that asks to be debugged by its parent, to keep debuggers away, gets its signals all the same. Behind 5a6c03f the first one stopped it for
// good.
func TestTraceMe(t *testing.T) {
	eachBuild(t, func(t *testing.T, b *build) {
		u := start(t, b, "--", "python3", "-c", `
import ctypes, signal, sys
signal.signal(signal.SIGUSR1, lambda *_: print("got it", flush=True))
signal.signal(signal.SIGTERM, lambda *_: sys.exit(42))
assert ctypes.CDLL(None).ptrace(0, 0, 0, 0) == 0
print("ready", flush=True)
while True: signal.pause()`)
		u.printed("ready\n")
		u.signal(unix.SIGUSR1)
		u.printed("got it\n")
		u.signal(unix.SIGTERM)
		u.want(42)
	})
}

// A full disk under stderr loses lines, no app: of 5a6c03f it got SIGPIPE, where without usher it gets ENOSPC.
func TestTailOnAFullDisk(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip(err)
	}
	defer full.Close()
	u := command(t, &made, "--termination-tail", "1", "--", "bash", "-c", "for i in {1..20}; do echo line >&2; sleep 0.01; done; echo through; exit 7")
	u.cmd.Stderr = full
	u.begin().want(7)
	u.printed("through\n")
}

// What GODEBUG has the Go runtime say is no reason to end, where usher can't hide it from the runtime.
func TestRuntimeThatTalks(t *testing.T) {
	u := commandHere(t, &plain, "--", "sh", "-c", "exit 7")
	u.cmd.Env = append(u.cmd.Env, "GODEBUG=inittrace=1,schedtrace=1")
	u.begin().want(7)
	if out := u.stderr.String(); !strings.Contains(out, "init ") || strings.Contains(out, "usher: ") {
		t.Errorf("%q", out)
	}
}
