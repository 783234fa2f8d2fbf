package supervisor

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"usher/signals"
	"usher/signals/testmain"
	"usher/supervisor/command"
	"usher/supervisor/config"
	"usher/supervisor/event"
	"usher/supervisor/timeline"
)

// The test binary is an usher of its own when asked to be: these tests need the
// loop, with all that it waits for and kills.

const helperEnv = "SUPERVISOR_TEST_HELPER"

// helpers run as usher's main would, but for what they do beside it. One that
// no test uses fails a run of all tests.
var (
	helpers = map[string]func(*Supervisor){"exec": execHelper}
	used    sync.Map
)

func TestMain(m *testing.M) {
	helper := helpers[os.Getenv(helperEnv)]
	if helper == nil {
		testmain.Main(func() int {
			code := m.Run()
			for name := range helpers {
				if _, ok := used.Load(name); !ok && flag.Lookup("test.run").Value.String()+flag.Lookup("test.skip").Value.String() == "" {
					fmt.Fprintf(os.Stderr, "the helper %q is not used\n", name)
					code = max(code, 1)
				}
			}
			return code
		})
	}
	source, err := signals.Open()
	if err != nil {
		panic(err)
	}
	config := config.Config{Command: []string{"sleep", "1000"}, Env: signals.Environ()}
	config.StragglerGrace = time.Minute
	s, err := New(config, source, printLogger{})
	if err != nil {
		panic(err)
	}
	go helper(s)
	os.Exit(s.Run())
}

type printLogger struct{}

func (printLogger) Event(e *event.Event)              { fmt.Printf("%v: %s\n", e.Kind.Level(), e.Text()) }
func (printLogger) Keep(*timeline.Timeline)           {}
func (printLogger) Errorf(format string, args ...any) { fmt.Printf("error: "+format+"\n", args...) }
func (printLogger) Infof(format string, args ...any)  { fmt.Printf("info: "+format+"\n", args...) }
func (printLogger) Debugf(format string, args ...any) { fmt.Printf("debug: "+format+"\n", args...) }
func (printLogger) Output(name, lines string)         { fmt.Printf("%s says %q\n", name, lines) }
func (printLogger) Stalled() bool                     { return false }
func (printLogger) Verbose() bool                     { return true }

// execHelper runs each argument as a script, timeout first ("1s:echo hello"),
// prints the outcome, and stops the app.
func execHelper(s *Supervisor) {
	var group sync.WaitGroup
	for i, arg := range os.Args[1:] {
		limit, script, _ := strings.Cut(arg, ":")
		timeout, err := time.ParseDuration(limit)
		if err != nil {
			panic(err)
		}
		run := func() {
			ctx, cancel := context.WithTimeout(context.Background(), timeout)
			defer cancel()
			argv := []string{"bash", "-c", script, fmt.Sprint(i)}
			if strings.HasPrefix(script, "/") {
				argv = []string{script}
			}
			begin := time.Now()
			err := s.commands.Exec(ctx, argv)
			fmt.Printf("[%d] %v after %.0fs\n", i, err, time.Since(begin).Seconds())
		}
		if os.Getenv("TOGETHER") != "" {
			group.Go(run)
		} else {
			run()
		}
	}
	group.Wait()
	_ = unix.Kill(os.Getpid(), unix.SIGTERM)
}

// help runs a helper to its end and returns what it has printed.
func help(t *testing.T, name string, env []string, args ...string) string {
	t.Helper()
	used.Store(name, true)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0], args...)
	cmd.Env = append(append(os.Environ(), helperEnv+"="+name), env...)
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState.ExitCode() != 143 {
		t.Fatalf("%v\n%s", err, out)
	}
	return string(out)
}

func TestExec(t *testing.T) {
	dir := t.TempDir()
	for _, tt := range []struct{ name, script, want string }{
		{"success", "1m:echo fine", "<nil> after 0s"},
		{"failure", "1m:echo one; echo two >&2; echo; exit 3", "exit code 3: two after 0s"},
		{"failure without a word", "1m:exit 4", "exit code 4 after 0s"},
		{"no line's end", "1m:printf 'one\ntwo'; exit 5", "exit code 5: two after 0s"},
		{"killed", "1m:kill -USR1 $$", "killed by SIGUSR1 after 0s"},
		{"stopped and woken", "1m:(sleep 0.1; kill -CONT $$) & kill -STOP $$; exit 6", "exit code 6 after "},
		{"timeout", "1s:exec sleep 1000", "context deadline exceeded after 1s"},
		{"deaf", "1s:trap '' TERM INT HUP; while :; do sleep 1; done", "context deadline exceeded after 1s"},
		{"not there", "1m:/no/such/program", `cannot start "/no/such/program": no such file: there is no directory "/no" after 0s`},
		{"a directory", "1m:/tmp", `cannot start "/tmp": it is a directory after 0s`},
		{"nothing on stdin", "1m:read x && exit 1; [ -z \"$x\" ] && [ /dev/null -ef /proc/self/fd/0 ]", "<nil> after 0s"},
		{"own group", "1m:[ $(ps -o pgid= -p $$) = $$ ]", "<nil> after 0s"},
		// A background process keeps the pipe open, and is none of Exec's business.
		{"pipe held open", "1m:sleep 1000 & echo held; exit 7", "exit code 7: held after 0s"},
		{"flood", "1m:yes | head -c 50000000; exit 8", "exit code 8: y after "},
		{"endless flood", "1s:yes", "context deadline exceeded: y after 1s"},
		{"endless line", "1m:head -c 1000000 /dev/zero | tr '\\0' x; echo; echo end; exit 9", "exit code 9: end after 0s"},
		{"flooding background", "1m:yes & exit 10", "exit code 10"},
		// All of the group is killed: had it survived, it would hold the lock.
		{"group", "500ms:flock " + dir + "/lock sleep 1000 & wait", "context deadline exceeded after"},
		{"group is gone", "10s:flock " + dir + "/lock true", "<nil> after 0s"},
		{"after all that", "1m:exit 0", "<nil> after 0s"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.name != "group" && tt.name != "group is gone" {
				t.Parallel()
			}
			if out := help(t, "exec", nil, tt.script); !strings.Contains(out, "[0] "+tt.want) {
				t.Errorf("want %q:\n%s", tt.want, out)
			}
		})
	}
}

// Each gets its own status, however many end at once, and none of them is an
// orphan.
func TestExecTogether(t *testing.T) {
	var scripts []string
	for i := range 60 {
		scripts = append(scripts, fmt.Sprintf("1m:(exit 1) & wait; sleep 0.$((RANDOM %% 5)); echo line %d; exit %d", i, i+1))
	}
	out := help(t, "exec", []string{"TOGETHER=1"}, scripts...)
	for i := range scripts {
		if want := fmt.Sprintf("[%d] exit code %d: line %d after", i, i+1, i); !strings.Contains(out, want) {
			t.Errorf("no %q", want)
		}
	}
	if !strings.Contains(out, "debug: 0 orphans reaped\n") {
		t.Errorf("commands were counted as orphans, or nothing was said:\n%s", out)
	}
	// One more than there is room for is refused, and does no harm.
	scripts = nil
	for range command.Max + 1 {
		scripts = append(scripts, "1m:sleep 1")
	}
	if out := help(t, "exec", []string{"TOGETHER=1"}, scripts...); strings.Count(out, "64 commands are running already") != 1 || strings.Count(out, "<nil>") != command.Max {
		t.Errorf("%d commands at once:\n%s", len(scripts), out)
	}
}

// What is running when the app ends goes at once, and is not mistaken for what
// the app has left behind.
func TestExecEndsWithTheApp(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	begin := time.Now()
	out := help(t, "exec", []string{"TOGETHER=1"}, "1m:trap '' TERM; sleep 1000 & touch "+file+"; wait; sleep 1000",
		"1m:while [ ! -e "+file+" ]; do sleep 0.01; done; kill $PPID; sleep 1000")
	if took := time.Since(begin); took > 20*time.Second {
		t.Errorf("it took %v", took)
	}
	if strings.Contains(out, "(pid ") {
		t.Errorf("a straggler?\n%s", out)
	}
}
