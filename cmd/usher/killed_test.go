package main_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// The words of a run with a stop in it, in the order of its steps. What was longer before may be blank.
var stages = []*regexp.Regexp{
	regexp.MustCompile(`^$`),
	regexp.MustCompile(`^StopTimeout: ended from outside in the middle of a stop; uptime \S+; SIGTERM from [^;]*, being held back for 30ms\n *$`),
	regexp.MustCompile(`^StopTimeout: ended from outside in the middle of a stop; uptime \S+; SIGTERM from [^;]*, held back for \S+, app had not ended after SIGTERM\n *$`),
	regexp.MustCompile(`^Error: exit code 3; uptime \S+; SIGTERM from [^;]*, held back for \S+, app gone \S+ after SIGTERM; peak memory \S+, CPU \S+\n *$`),
}

// SIGKILL at every system call of usher's loop, from its first to its last: what is in the termination log is true each time, and its
// parts are never mixed. The app asks for the stop itself.
func TestKilledAtEverySystemCall(t *testing.T) {
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Skip(err)
	}
	// All of it in a PID namespace, with a shell as PID 1: what is left of a run ends with that, and a parent is nobody outside.
	attr, err := namespaces()
	if err != nil {
		t.Skipf("no PID namespace can be made here: %v", err)
	}
	const app = `trap 'exit 3' TERM; kill -TERM $PPID; while :; do sleep 0.005; done`
	for _, format := range []string{"text", "json"} {
		t.Run(format, func(t *testing.T) {
			t.Parallel()
			seen := map[int]int{}
			log, trace := newLog(t), filepath.Join(t.TempDir(), "trace")
			run := func(inject ...string) (calls string, killed bool) {
				if err := os.WriteFile(log, nil, 0o666); err != nil {
					t.Fatal(err)
				}
				cmd := exec.Command("sh", append(append([]string{"-c", `"$@"; exit $?`, "sh", strace, "-qq", "-o", trace}, inject...),
					made.path, "-q", "--term-delay", "30ms", "--termination-format", format, "--termination-log", log, "--", "sh", "-c", app)...)
				cmd.SysProcAttr = attr
				out, err := cmd.CombinedOutput()
				word := readLog(t, log)
				stage := stageOf(t, format, word)
				seen[stage]++
				var exit *exec.ExitError
				switch {
				case !errors.As(err, &exit) || exit.ExitCode() != 3 && exit.ExitCode() != 137:
					t.Errorf("%q: %v\n%s", inject, err, out)
				case stage < 0 || exit.ExitCode() == 3 && stage != len(stages)-1:
					t.Errorf("%q: exit code %d, %q", inject, exit.ExitCode(), word)
				}
				return readLog(t, trace), exit != nil && exit.ExitCode() == 137
			}
			// strace counts the calls of each name for themselves.
			calls := map[string]int{}
			whole, _ := run()
			for line := range strings.Lines(whole) {
				if name, _, ok := strings.Cut(line, "("); ok && !strings.ContainsAny(name, " ") {
					calls[name]++
				}
			}
			kills := 0
			for name, count := range calls {
				for n := 1; n <= count; n++ {
					if name == "execve" {
						continue // usher's own
					}
					if _, killed := run("-e", fmt.Sprintf("inject=%s:signal=KILL:when=%d", name, n)); killed {
						kills++
					}
				}
			}
			t.Logf("killed at %d calls of %d names, in stages %v", kills, len(calls), seen)
			for stage := range stages {
				if seen[stage] == 0 {
					t.Errorf("never killed in stage %d", stage)
				}
			}
		})
	}
}

// stageOf finds the stage that word is of; -1 is none.
func stageOf(t *testing.T, format, word string) int {
	if format == "json" && word != "" {
		var r struct {
			Reason           string
			EndedFromOutside bool
			ExitCode         int
			Stop             struct{ Sent string }
		}
		if err := json.Unmarshal([]byte(word), &r); err != nil {
			t.Errorf("%v: %q", err, word)
		}
		switch {
		case r.Reason == "Error" && r.ExitCode == 3 && !r.EndedFromOutside:
			return 3
		case r.Reason == "StopTimeout" && r.EndedFromOutside && r.Stop.Sent == "SIGTERM":
			return 2
		case r.Reason == "StopTimeout" && r.EndedFromOutside:
			return 1
		}
		return -1
	}
	for i, stage := range stages {
		if stage.MatchString(word) {
			return i
		}
	}
	return -1
}

// The same from outside, and the app by itself, at each step.
func TestKilledAtEachStep(t *testing.T) {
	const app = `mount -t proc proc /proc
trap 'kill -KILL $$' USR1; trap 'echo got TERM; $0' TERM; echo ready; while :; do sleep 0.01; done`
	for _, c := range []struct {
		name, term  string // what the app does on SIGTERM
		signal      bool   // a stop is asked for
		until       string // what has to be printed or logged
		usher, self string // the word after SIGKILL to usher, and to the app itself
		args        []string
	}{
		{name: "running", term: "exit", until: "ready\n", usher: `^$`, self: `^Signaled: killed by SIGKILL \(exit code 137\); uptime [^;]*; peak memory `},
		{name: "holding", term: "exit", signal: true, until: "held back for", usher: `^StopTimeout: ended from outside in the middle of a stop; .*, being held back for `,
			self: `^Signaled: killed by SIGKILL \(exit code 137\); .*, app gone after \S+ of a hold of `},
		{name: "stopping", term: ":", signal: true, until: "got TERM\n", usher: `^StopTimeout: ended from outside in the middle of a stop; .*, app had not ended after SIGTERM\n$`,
			self: `^Signaled: killed by SIGKILL \(exit code 137\); .*, app gone \S+ after SIGTERM; peak`},
		{name: "pre-stop", term: ":", signal: true, until: "pre-stop: at it", usher: `^StopTimeout: ended from outside in the middle of a stop; .*, app had got no signal \(pre-stop running\)\n$`,
			self: `^Signaled: killed by SIGKILL \(exit code 137\); .*, app gone before it got a signal \(pre-stop running\); peak`, args: []string{"--pre-stop", "exec:sh -c 'echo at it; exec sleep 1000'"}},
		{name: "post-stop", term: "exit 7", signal: true, until: "post-stop: at it", usher: `^Error: exit code 7; .*, app gone \S+ after SIGTERM; peak memory `,
			args: []string{"--post-stop", "exec:sh -c 'echo at it; exec sleep 1000'"}},
		{name: "sweeping", term: "read < <(trap 'echo swept >&2' TERM; echo; while :; do sleep 0.01; done); exit 7", signal: true, until: "swept\n",
			usher: `^Error: exit code 7; .*, app gone \S+ after SIGTERM; peak memory `},
	} {
		for _, usherItself := range []bool{true, false} {
			if c.self == "" && !usherItself {
				continue
			}
			t.Run(fmt.Sprintf("%s, usher %v", c.name, usherItself), func(t *testing.T) {
				t.Parallel()
				log, delay := newLog(t), "200ms"
				if c.name == "holding" {
					delay = "1h"
				}
				u := start(t, &made, append([]string{"--term-delay", delay, "--straggler-grace", "1h", "--termination-log", log}, append(c.args, "--", "bash", "-c", app, "eval "+c.term)...)...)
				u.printed("ready\n")
				if c.signal {
					u.signal(unix.SIGTERM)
				}
				eventually(t, func() error {
					if !strings.Contains(u.stdout.String()+u.stderr.String(), c.until) {
						return errors.New("not yet: " + c.until)
					}
					return nil
				})
				want := c.usher
				// What is written comes right after what is logged, or done.
				if want != "^$" {
					eventually(t, func() error {
						if word := readLog(t, log); !regexp.MustCompile(want).MatchString(word) {
							return fmt.Errorf("ahead it says %q", word)
						}
						return nil
					})
				}
				if usherItself {
					u.signal(unix.SIGKILL)
				} else {
					want = c.self
					u.signal(unix.SIGUSR1)
				}
				u.want(137)
				if word := readLog(t, log); !regexp.MustCompile(want).MatchString(word) {
					t.Errorf("termination log: %q", word)
				}
			})
		}
	}
}

// Before the app nothing has happened that would have to be told; between two runs of it there is the end of the last.
func TestKilledWithoutAnApp(t *testing.T) {
	for _, c := range []struct {
		args []string
		log  string
		word string
	}{
		{[]string{"--pre-start", "sh -c 'echo at it; exec sleep 1000'", "--", "echo", "started"}, "pre-start-1: at it", `^$`},
		{[]string{"--wait-for", "file:/no/such/file", "--", "echo", "started"}, "waiting for ", `^$`},
		{[]string{"--restart", "always", "--", "sh", "-c", "exit 3"}, "started again in 10s", `^Error: exit code 3; uptime [^;]*, restarts 1; peak memory `},
	} {
		log := newLog(t)
		u := start(t, &made, append([]string{"--termination-log", log}, c.args...)...)
		u.logged(c.log)
		eventually(t, func() error {
			if word := readLog(t, log); !regexp.MustCompile(c.word).MatchString(word) {
				return fmt.Errorf("%q: %q", c.args, word)
			}
			return nil
		})
		u.signal(unix.SIGKILL)
		u.want(137)
		if word := readLog(t, log); !regexp.MustCompile(c.word).MatchString(word) {
			t.Errorf("%q: %q", c.args, word)
		}
	}
	// A run that goes on has no old word.
	log := newLog(t)
	u := start(t, &made, "--restart", "always", "--termination-log", log, "--", "bash", "-c", "[ ! -e $0 ] || { echo again; exec sleep 1000; }; > $0; exit 3", filepath.Join(t.TempDir(), "flag"))
	u.printed("again\n")
	eventually(t, func() error {
		if word := readLog(t, log); word != "" {
			return fmt.Errorf("while the app runs again: %q", word)
		}
		return nil
	})
}
