package main_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// The app of a plain command line is started before the Go runtime (signals/entry/early.go), and no other.
func TestStartedBeforeTheRuntime(t *testing.T) {
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Skip(err)
	}
	if !made.complete || os.Getuid() != 0 {
		t.Skip("needs an entry point of our own, and root, to see into a PID namespace")
	}
	const devices = "mount -t tmpfs none /dev; "
	type start struct {
		script string // makes PID 1 of $usher
		early  bool
	}
	starts := map[string]start{
		"plain":                     {`exec $usher -- true`, true},
		"no dashes":                 {`exec $usher true`, true},
		"a path":                    {`exec $usher -- /bin/true`, true},
		"a closed descriptor":       {`exec $usher -- true <&-`, true},
		"an empty termination log":  {devices + `: > /dev/termination-log; exec $usher -- true`, true},
		"one of an earlier run":     {devices + `echo old > /dev/termination-log; exec $usher -- true`, false},
		"a flag":                    {`exec $usher -q -- true`, false},
		"a variable":                {`USHER_QUIET=1 exec $usher -- true`, false},
		"another name":              {`exec -a /init $usher -- true`, true},
		"SIGCHLD is ignored":        {`trap "" CHLD; exec $usher -- true`, false},
		"not PID 1":                 {`$usher -- true; exit $?`, false},
		"a limit of memory":         {`ulimit -v 8000000; exec $usher -- true`, false},
		"a script that needs sh":    {`exec $usher -- $script`, false},
		"what systemd has prepared": {`LISTEN_PID=1 exec $usher -- true`, false},
	}
	personalities, err := os.ReadFile("personalities.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, names := range regexp.MustCompile(`names: +\[\]string\{(.*)\}`).FindAllSubmatch(personalities, -1) {
		for name := range strings.SplitSeq(string(names[1]), ", ") {
			starts[name] = start{"exec -a /sbin/" + name + " $usher -- true", false}
		}
	}
	if len(starts) < 16 {
		t.Errorf("there are more names than those of %v", starts)
	}
	for name, tt := range starts {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			trace, script := filepath.Join(dir, "trace"), filepath.Join(dir, "script")
			if err := os.WriteFile(script, []byte("exit 0\n"), 0o755); err != nil {
				t.Fatal(err)
			}
			// The runtime asks for its processors before it does anything else.
			cmd := exec.Command(strace, "-f", "-qq", "-o", trace, "-e", "trace=execve,sched_getaffinity", "-e", "signal=none",
				"unshare", "--pid", "--fork", "--mount", "bash", "-c", tt.script)
			cmd.Env = append(environ(), "usher="+made.path, "script="+script)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			_, calls, _ := strings.Cut(readLog(t, trace), "execve(\""+made.path)
			// A call that takes its time is shown again when it returns.
			runtime, app := strings.Index(calls, "sched_getaffinity("), regexp.MustCompile(`execve\("[^"]*/(true|script)", .*|<\.\.\. execve resumed>.*`).FindAllStringIndex(calls, -1)
			if runtime < 0 || len(app) == 0 {
				t.Fatalf("no start of the runtime, or of the app:\n%s", calls)
			}
			begun, failed := app[0][0] < runtime, strings.Contains(calls[:runtime], "ENOEXEC")
			if early := begun && !failed; early != tt.early {
				t.Errorf("before the runtime: %v, want %v\n%s", early, tt.early, calls)
			}
		})
	}
}

// Whether the app is started by the entry point or by main, it is the same app.
func TestEarlyOrLate(t *testing.T) {
	dir := t.TempDir()
	for name, mode := range map[string]os.FileMode{"bad/app": 0o644, "good/app": 0o755, "good/plain": 0o755, "good/broken": 0o755, "good/none": 0o755} {
		text := map[string]string{
			"app": "#!/bin/sh\n", "plain": "", "broken": "#!/no/such/interpreter\n", "none": "\x7fELF\x00\x00",
		}[filepath.Base(name)] + `echo "$0" "$@"
cut -d " " -f 4,5 /proc/self/stat | { read pid group; [ $pid = $group ] && echo leads; }
grep "Sig[BIC]" /proc/self/status
env
ls -l /proc/self/fd | grep -c :
exit 5
`
		os.MkdirAll(filepath.Join(dir, filepath.Dir(name)), 0o755)
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
	os.MkdirAll(filepath.Join(dir, "good", "directory"), 0o755)
	bin := ":/bin:/usr/bin"
	for _, tt := range []struct {
		line []string
		path string
		want int
	}{
		{[]string{"app", "one", "", "th ree"}, "/good" + bin, 5},
		{[]string{"app"}, "/bad:" + dir + "/good/" + bin, 5},
		{[]string{"app"}, "/good/app:" + dir + "/missing:" + dir + "/good" + bin, 5},
		{[]string{"app"}, "/none:" + dir + "/bad:." + bin, 5}, // the current directory
		{[]string{"app"}, "/bad::/nothing" + bin, 5},
		{[]string{"none"}, "/good:" + dir + "/bad" + bin, 126}, // ENOEXEC ends the search
		{[]string{"app"}, "/bad" + bin, 126},
		{[]string{"plain", "x"}, "/good" + bin, 5},
		{[]string{"broken"}, "/good" + bin, 126},
		{[]string{"none"}, "/good" + bin, 126},
		{[]string{"directory"}, "/good" + bin, 126},
		{[]string{"missing"}, "/good" + bin, 127},
		{[]string{"./app"}, bin, 5},
		{[]string{"./missing"}, bin, 127},
		{[]string{"sh", "-c", "kill -9 $$"}, bin, 137},
		{[]string{"sh", "-c", "kill -TERM 1; sleep 60"}, bin, 143},
		{[]string{"sh", "-c", "(sleep 0.1; echo late) & exit 4"}, bin, 4},
	} {
		t.Run(strings.Join(tt.line, " ")+" in "+tt.path, func(t *testing.T) {
			t.Parallel()
			run := func(variables ...string) string {
				u := command(t, &made, append([]string{"--"}, tt.line...)...)
				u.cmd.Dir = filepath.Join(dir, "good")
				u.cmd.Env = append(variables, "PATH="+dir+tt.path, "GOGC=1", "A=b", "A=c")
				u.begin().want(tt.want)
				return regexp.MustCompile(`uptime .*|pid \d+`).ReplaceAllString(u.stdout.String()+"\n"+u.stderr.String(), "")
			}
			if early, late := run(noLog...), run("USHER_TERMINATION_LOG="); early != late {
				t.Errorf("started by the entry point:\n%s\nby main:\n%s", early, late)
			}
		})
	}
}

// What usher hides from the Go runtime is not hidden from those who look at /proc/1/environ, however early.
func TestEnvironOfUsher(t *testing.T) {
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Skip(err)
	}
	if !made.complete || os.Getuid() != 0 {
		t.Skip("needs an entry point of our own, and root, to see into a PID namespace")
	}
	const variables = "GO=1\nGOGC=off\nGODEBUG=x=1\nG=1\nOGC=1"
	cmd := exec.Command(strace, "-f", "-qq", "-o", "/dev/null", "-e", "trace=sched_getaffinity", "-e", "inject=sched_getaffinity:delay_enter=500ms",
		"unshare", "--pid", "--fork", "--mount-proc", made.path, "--", "sh", "-c", `env | grep -c ^G; tr "\0" "\n" < /proc/1/environ`)
	cmd.Env = append(strings.Split(variables, "\n"), "PATH=/bin:/usr/bin")
	out, err := cmd.CombinedOutput()
	if want := "4\n" + variables; err != nil || !strings.HasPrefix(string(out), want) {
		t.Errorf("%v\n%s\nwant\n%s", err, out, want)
	}
}

// buildBomb builds testdata/bomb, once.
var buildBomb = sync.OnceValues(func() (string, error) {
	path := filepath.Join(filepath.Dir(made.path), "bomb")
	if out, err := exec.Command("gcc", "-O2", "-static", "-o", path, "testdata/bomb/bomb.c").CombinedOutput(); err != nil {
		return "", fmt.Errorf("needs gcc: %w\n%s", err, out)
	}
	return path, nil
})

func bombPath(t *testing.T) string {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root, to become somebody who has no other process")
	}
	path, err := buildBomb()
	if err != nil {
		t.Skip(err)
	}
	return path
}

// An app that fills its limit of processes with its first instructions, on the one processor that it shares with usher, does nothing to usher: the
// threads that the Go runtime will want are there before it is. Without them the runtime dies, and the container with it.
func TestBomb(t *testing.T) {
	bombed(t, &made, 54400, 50)
}

// bombed is so many rounds of that, each as a user of its own.
func bombed(t *testing.T, b *build, uid, rounds int) {
	t.Helper()
	bomb := bombPath(t)
	for round := range rounds {
		t.Run("", func(t *testing.T) {
			t.Parallel()
			uid := uid + round
			u := command(t, b, []string{"--", "-q"}[round%2], bomb) // before the runtime, and after it
			u.inShell(fmt.Sprintf("exec taskset -c 0 prlimit --nproc=%d:%[1]d setpriv --reuid %d --regid %[2]d --clear-groups \"$@\"", 12+round, uid))
			u.begin()
			u.printed("full\n")
			u.signal(unix.SIGUSR2) // usher is there to hand it on, and the app dies of it
			u.want(128 + int(unix.SIGUSR2))
		})
	}
}

// Nothing tells usher of the children that have ended before it was usher, and none is left as a zombie.
func TestDeadOfThePredecessor(t *testing.T) {
	u := command(t, &made, "--", "sh", "-c", `mount -t proc proc /proc && grep -h "^State:.*zombie" /proc/[0-9]*/status || exit 5`)
	u.cmd.Args = append([]string{"python3", "-c", `
import os, sys
if (pid := os.fork()) == 0: os._exit(0)
os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
os.execvp(sys.argv[1], sys.argv[1:])`, made.path}, u.cmd.Args[1:]...)
	u.cmd.Path, _ = exec.LookPath("python3")
	if u.begin().want(5); u.stdout.String() != "" {
		t.Errorf("%s", &u.stdout)
	}
}

// With its limit of processes full, usher writes to the log and collects what garbage that makes, and the Go runtime does not miss a thread.
func TestNoiseWithoutRoomForAThread(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root, for an app that usher may not signal")
	}
	noise := filepath.Join(filepath.Dir(made.path), "noise")
	if out, err := exec.Command("gcc", "-O2", "-static", "-o", noise, "testdata/noise/noise.c").CombinedOutput(); err != nil {
		t.Skipf("needs gcc: %v\n%s", err, out)
	}
	if err := os.Chmod(noise, 0o755|os.ModeSetuid); err != nil {
		t.Fatal(err)
	}
	tail := []string{"-v", "--termination-tail", "3"}
	for round, flags := range [][]string{nil, nil, nil, {"-v"}, {"-v"}, tail, tail, tail} {
		t.Run(fmt.Sprint(flags), func(t *testing.T) {
			t.Parallel()
			uid := 54500 + round
			u := command(t, &made, append(flags, "--", noise)...)
			u.inShell(fmt.Sprintf("exec taskset -c 0 prlimit --nproc=30:30 setpriv --reuid %d --regid %[1]d --clear-groups \"$@\"", uid))
			if len(flags) > 1 { // the tail and the log, each with a thread that waits for others
				u.cmd.Stderr = stalled(t)["pipe"]
				u.begin().want(7)
				return
			}
			u.begin().want(7)
			u.logged("cannot send SIGUSR1 to the app: operation not permitted")
		})
	}
}

// Without a runtime there is nothing to allocate from, to grow a stack with, or to panic with.
func TestEarlyCallsNothingOfTheRuntime(t *testing.T) {
	path := filepath.Join(t.TempDir(), "usher")
	build := exec.Command("go", "build", "-tags", "usher_entry usher_threads usher_early usher_entry_unverified", "-ldflags", "-checklinkname=0 -E usher/signals/entry.entry", "-o", path, ".")
	for _, arch := range []string{"amd64", "arm64"} {
		build := *build
		build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOARCH="+arch)
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		out, err := exec.Command("go", "tool", "objdump", "-s", `^usher/(signals/entry|internal/execvp)\.`, path).Output()
		if err != nil {
			t.Fatal(err)
		}
		functions := regexp.MustCompile(`(?m)^TEXT (\S+)\(SB\)`).FindAllStringSubmatch(string(out), -1)
		for _, name := range []string{"plan", "become", "started", "executed", "(*command).read", "(*command).candidate", "(*command).search"} {
			if !slices.ContainsFunc(functions, func(f []string) bool { return f[1] == "usher/signals/entry."+name }) {
				t.Errorf("%s: no %s in %q", arch, name, functions)
			}
		}
		// The stack of the g they have has no end; write barriers are off.
		allowed := regexp.MustCompile(`^(usher/signals/entry\.|usher/internal/execvp\.|syscall\.RawSyscall6$|runtime\.morestack|runtime\.gcWriteBarrier)`)
		// These are for later.
		later := regexp.MustCompile(`^TEXT usher/signals/entry\.(Raise|Restore|LockThread|UnlockThread|Reserve|reserve|entry)\(SB\)`)
		// Go code that calls assembly takes g from there on its return.
		localStorage := regexp.MustCompile(`.*(FS:|TPIDR_EL0).*`)
		for function := range strings.SplitSeq(string(out), "\n\n") {
			if later.MatchString(strings.TrimSpace(function)) {
				continue
			}
			if line := localStorage.FindString(function); line != "" {
				t.Errorf("%s: there is no thread-local storage yet: %.80s: %s", arch, strings.TrimSpace(function), line)
			}
			for _, call := range regexp.MustCompile(`\bCALL (\S+)\(SB\)`).FindAllStringSubmatch(function, -1) {
				if !allowed.MatchString(call[1]) {
					t.Errorf("%s: there is a call of %s", arch, call[1])
				}
			}
		}
	}
}
