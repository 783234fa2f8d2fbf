package main_test

import (
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// With not a single descriptor left usher still starts the app, hands it its signals and has its exit code. (A plain build's signals
// come through the runtime's poller, which needs one.)
func TestNoDescriptorLeft(t *testing.T) {
	if !made.complete {
		t.Skip("no entry point of our own on this architecture")
	}
	u := command(t, &made, "--term-delay", "100ms", "--termination-log", newLog(t), "--", receiver)
	u.cmd.Args = append([]string{"sh", "-c", `ulimit -n 3 && exec "$@"`, "sh", made.path}, u.cmd.Args[1:]...)
	u.cmd.Path = "/bin/sh"
	u.begin().printed("ready\n")
	u.signal(unix.SIGUSR1)
	u.printed("\n10 ")
	u.signal(unix.SIGTERM)
	u.want(42)
	u.logged("too many open files") // the termination log can't be written
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
		u := start(t, b, "--grace-period", "1s", "--", "bash", "-c", "trap '' TERM USR1 USR2; echo ready; while :; do sleep 1; done")
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
