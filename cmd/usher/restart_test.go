package main_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestRestart(t *testing.T) {
	eachBuild(t, func(t *testing.T, b *build) {
		file, log := filepath.Join(t.TempDir(), "file"), newLog(t)
		// The first run leaves a process behind, which has to be gone before the second run. That one ends with success.
		app := `echo run >> $0
if [ $(wc -l < $0) = 1 ]; then
	(trap 'echo told; exit' TERM; : > $0.up; while :; do sleep 0.01; done) &
	until [ -e $0.up ] && [ -e $0.each ]; do sleep 0.01; done
	exit 3
fi
echo second; exit 0`
		u := start(t, b, "--termination-log", log, "--restart", "on-failure", "--pre-start", "echo once",
			"--post-start", "exec:sh -c 'echo each; : > "+file+".each'", "--post-stop", "exec:echo last", "--", "bash", "-c", app, file)
		u.want(0)
		if out := u.stdout.String(); out != "told\nsecond\n" {
			t.Errorf("stdout: %q", out)
		}
		said := u.stderr.String()
		if !strings.Contains(said, "usher: the app ended with exit code 3, started again at once\n") || !strings.Contains(said, "usher: Completed: exit code 0; ") {
			t.Errorf("restarts: %s", said)
		}
		if strings.Count(said, "pre-start-1: once\n") != 1 || strings.Count(said, "last\n") != 1 || !strings.Contains(said, "each\n") {
			t.Errorf("hooks: %s", said)
		}
		if word := readLog(t, log); !strings.HasPrefix(word, "Completed: exit code 0; uptime ") || !strings.Contains(word, ", restarts 1") {
			t.Errorf("termination log: %q", word)
		}
	})
}

func TestRestartPolicies(t *testing.T) {
	for _, c := range []struct {
		args string
		exit int
		runs int
		code int
	}{
		{"", 3, 1, 3},
		{"--restart no", 3, 1, 3},
		{"--restart on-failure --restart-max 1", 3, 2, 3},
		{"--restart on-failure --restart-max 1", 0, 1, 0},
		{"--restart on-failure --exit-code 3=0", 3, 1, 0},
		{"--restart on-failure --restart-max 1 --exit-code 0=4", 0, 2, 4},
		{"--restart always --restart-max 1", 0, 2, 0},
	} {
		t.Run(fmt.Sprint(c.args, " ", c.exit), func(t *testing.T) {
			t.Parallel()
			u := start(t, &made, append(strings.Fields(c.args), "--", "sh", "-c", fmt.Sprintf("echo run; exit %d", c.exit))...)
			u.want(c.code)
			if n := strings.Count(u.stdout.String(), "run\n"); n != c.runs {
				t.Errorf("%d runs, want %d\n%s", n, c.runs, &u.stderr)
			}
		})
	}
	u := start(t, &made, "--restart", "sometimes", "--", "true")
	u.want(125)
	u.logged(`restart policy "sometimes": want no, on-failure or always`)
}

// The second restart waits, and a stop then ends it at once; readiness follows the app.
func TestStopDuringBackOff(t *testing.T) {
	for _, sig := range []unix.Signal{unix.SIGTERM, unix.SIGINT} {
		t.Run(sig.String(), func(t *testing.T) {
			t.Parallel()
			log, health := newLog(t), freePort(t)
			u := start(t, &made, "--termination-log", log, "--health-addr", health, "--restart", "always", "--post-stop", "exec:echo cleaned", "--", "sh", "-c", "echo run; sleep 0.2; exit 3")
			u.logged("; started again in 10s")
			if body := get(t, "http://"+health+"/readyz", 503); !strings.Contains(body, "[-]app failed: to be started again\n") {
				t.Errorf("readyz: %s", body)
			}
			get(t, "http://"+health+"/livez", 200)
			u.signal(unix.SIGUSR1) // for nobody
			begin := time.Now()
			u.signal(sig)
			u.word(log, 3, `^Error: exit code 3; uptime \S+, restarts 1; SIG\w+ from outside the container, when the app was gone already`)
			if d := time.Since(begin); d > 5*time.Second {
				t.Errorf("it took %v", d)
			}
			u.logged("post-stop: cleaned")
			if n := strings.Count(u.stdout.String(), "run\n"); n != 2 {
				t.Errorf("%d runs", n)
			}
		})
	}
}

// A stop of the second run is as good as one of the first.
func TestStopAfterRestart(t *testing.T) {
	eachBuild(t, func(t *testing.T, b *build) {
		file := filepath.Join(t.TempDir(), "file")
		log := newLog(t)
		u := start(t, b, "--termination-log", log, "--restart", "always", "--term-delay", "300ms", "--", "sh", "-c", `[ -e $1 ] || { touch $1; kill -9 $$; }; `+app, "0", file)
		u.printed("ready\n")
		u.signal(unix.SIGUSR1)
		u.printed("got USR1\n")
		begin := time.Now()
		u.signal(unix.SIGTERM)
		u.word(log, 42, `^Error: exit code 42; uptime \S+, restarts 1; SIGTERM from \S.*, held back for \d+ms, app gone \S+ after SIGTERM`)
		took(t, begin, 300*time.Millisecond)
	})
}

// Checks of the run that has ended may still be at work when the next begins.
func TestRestartWithChecks(t *testing.T) {
	eachBuild(t, func(t *testing.T, b *build) {
		addr := freePort(t)
		u := start(t, b, "--restart", "on-failure", "--restart-max", "1", "--ready-period", "10ms", "--ready-check", "tcp://"+addr, "--ready-check", "http://"+addr+"/",
			"--live-check", "exec:true", "--live-period", "10ms", "--", "sh", "-c", "echo run; sleep 0.1; exit 3")
		u.want(3)
		if out := u.stdout.String(); out != "run\nrun\n" {
			t.Errorf("stdout: %q", out)
		}
	})
}

// What was started once may not be there for a moment: that is a failure like any other. At first it is a mistake.
func TestRestartOfWhatIsGone(t *testing.T) {
	file := filepath.Join(t.TempDir(), "app")
	if err := os.WriteFile(file, []byte("#!/bin/sh\necho run\nrm $0\nexit 3\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	u := start(t, &made, "--restart", "on-failure", "--", file)
	u.logged("; started again in ")
	u.signal(unix.SIGTERM)
	u.want(127)
	if out := u.stdout.String(); out != "run\n" {
		t.Errorf("stdout: %q", out)
	}
	u = start(t, &made, "--restart", "always", "--", file)
	u.want(127)
	if out := u.stderr.String(); strings.Contains(out, "again") {
		t.Errorf("log: %s", out)
	}
}
