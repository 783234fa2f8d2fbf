package main_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// Where nobody acts on /livez, usher stops the app itself: with its hooks and its schedule, and without a hold.
func TestOnUnhealthyStop(t *testing.T) {
	eachBuild(t, func(t *testing.T, b *build) {
		alive, log := filepath.Join(t.TempDir(), "alive"), newLog(t)
		touch(t, alive)
		u := start(t, b, fast("--live-check", "file:"+alive, "--on-unhealthy", "stop", "--term-delay", "1h", "--pre-stop", "exec:echo bye", "--termination-log", log,
			"--", "sh", "-c", app, "0")...)
		u.printed("ready\n")
		os.Remove(alive)
		u.want(42)
		u.logged("usher: unhealthy: live-1: no such file or directory (3 times in a row, for ")
		u.logged("bye\n")
		if word := readLog(t, log); !strings.HasPrefix(word, "Unhealthy: exit code 42; ") || !strings.Contains(word, "SIGTERM from usher (live-1: no such file or directory (3 times") ||
			!strings.Contains(word, "its live check is failing") {
			t.Errorf("termination log: %q", word)
		}
	})
}

// A startup check that has used up its failures is as bad, and so is a watchdog; by default usher leaves it to the orchestrator.
func TestOnUnhealthyKinds(t *testing.T) {
	nothing := filepath.Join(t.TempDir(), "nothing")
	u := start(t, &made, "--startup-check", "file:"+nothing, "--startup-period", "20ms", "--on-unhealthy=stop", "--", "sh", "-c", app, "0")
	u.want(42)
	u.logged("unhealthy: startup-1: no such file or directory (3 times in a row")
	w, say := speaking(t, &made, nil, "--watchdog", "1s", "--on-unhealthy", "stop")
	say("WATCHDOG=1")
	w.want(42)
	w.logged("unhealthy: watchdog: no WATCHDOG=1 for 1")

	u = start(t, &made, "--live-check", "file:"+nothing, "--live-period", "20ms", "--", "sh", "-c", app, "0")
	u.logged("unhealthy: live-1: ")
	u.signal(unix.SIGUSR1)
	u.printed("got USR1\n")
	u.signal(unix.SIGTERM)
	u.want(42)
	start(t, &made, "--on-unhealthy", "panic", "--", "true").want(125)
}

// Who restarts containers that have failed (Docker's and Kubernetes' on-failure) is not to take that for a success, however it was mapped.
func TestOnUnhealthyFails(t *testing.T) {
	nothing, log := filepath.Join(t.TempDir(), "nothing"), newLog(t)
	stop := fast("--live-check", "file:"+nothing, "--on-unhealthy", "stop", "--termination-log", log)
	u := start(t, &made, append(stop, "--", "sh", "-c", app, "0")...) // its code is the app's own
	u.want(42)
	u = start(t, &made, append(stop, "--", "sh", "-c", `trap 'exit 0' TERM; while :; do sleep 0.01; done`)...)
	u.want(1)
	if word := readLog(t, log); !strings.HasPrefix(word, "Unhealthy: exit code 1; ") {
		t.Errorf("termination log: %q", word)
	}
	u = start(t, &made, append(stop, "--exit-code", "143=0", "--", "sleep", "1000")...)
	u.want(1)
}

// With --restart the app is started again, and checked anew, also where it has ended with 0.
func TestOnUnhealthyRestart(t *testing.T) {
	alive, health := filepath.Join(t.TempDir(), "alive"), freePort(t)
	u := start(t, &made, fast("--health-addr", health, "--live-check", "file:"+alive, "--on-unhealthy", "stop", "--restart", "on-failure", "--post-stop", "exec:echo bye", "--",
		"sh", "-c", `trap 'exit 0' TERM; touch "$0"; echo "up"; while :; do sleep 0.01; done`, alive)...)
	u.printed("up\n")
	wantBody(t, "http://"+health+"/livez", 200)
	os.Remove(alive)
	eventuallyCount(t, u, "up\n", 2)
	wantBody(t, "http://"+health+"/livez?verbose", 200, "[+]live-1 ok")
	// The next time it has to wait, and a stop signal is then the end.
	os.Remove(alive)
	u.logged("started again in 10s")
	u.signal(unix.SIGTERM)
	u.want(0)
	u.logged("bye")
	if out := u.stderr.String(); strings.Count(out, "unhealthy: ") != 2 {
		t.Errorf("log: %q", out)
	}
}
