package main_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Each system call that usher makes is refused to it: for the whole run, as a filter (seccomp) does it, and once, as a fault would. What comes of it has
// to be one of three: nothing; an error, in a line or two and with 125, before the app is started; or a loss that is in the table below, with the
// reason. usher never hangs, never takes a CPU, and shows no trace of the Go runtime.

// faultScenario is a run of usher, and all that it shows.
type faultScenario struct {
	name   string
	script string // makes $usher the process that runs it; the app prints, and ends with a code of its own
	execs  int    // of the script, until it is usher
}

// The apps give up after a few seconds, where usher does not do what they wait for.
var faultScenarios = []faultScenario{
	{"plain", `exec $usher -- sh -c '
		trap "echo told; exit 7" TERM
		sleep 0.01 &
		echo started
		kill -TERM $PPID
		for i in $(seq 100); do sleep 0.02; done
		echo "never told"; exit 9'`, 2},
	{"health", `mount -t proc proc /proc
		exec $usher --health-addr unix:$dir/health --health-addr 127.0.0.1:0 --ready-check exec:true --ready-check file:/etc/passwd \
		--ready-check unix://$dir/health --live-check exec:true --ready-period 50ms --pre-start "echo prepared" --post-start "exec:echo beside" \
		--post-stop "exec:echo over" --termination-tail 2 --termination-log $dir/log --user nobody -- sh -c '
		echo started
		echo a line >&2
		end=$(($(date +%s) + 4))
		while [ $(date +%s) -lt $end ]; do
			$usher --health-addr unix:$dir/health --ready-timeout 200ms --probe readyz >/dev/null && { echo ready; exit 7; }
			sleep 0.05
		done
		echo "never ready"; exit 9'`, 2},
	{"stop", `mount -t proc proc /proc
		exec $usher --term-delay 600ms --quiet-period 150ms --drain-timeout 100ms --pre-stop "exec:echo leaving" --grace-period 4s --straggler-grace 500ms \
		--termination-log $dir/log -- sh -c '
		trap "echo told; exit 7" TERM
		setsid sleep 10 >/dev/null 2>&1 &
		echo started
		kill -TERM $PPID
		for i in $(seq 300); do sleep 0.02; done
		echo "never told"; exit 9'`, 2},
}

// faultLosses are what a refused call costs where that is more than nothing, and why. The key is a call, with "child " before it where it is one of a
// child before its execve(2), and with a scenario's name before that where it is only that one's.
var faultLosses = map[string]string{
	"arch_prctl":           noGo + later,
	"sigaltstack":          noGo + later,
	"rt_sigprocmask":       noGo + later,
	"child rt_sigprocmask": "the Go runtime ends the child with SIGSEGV, and usher says so",
	"exit_group":           "nothing ends without it; the Go runtime then ends itself with SIGSEGV",
	"getpid":               "usher takes itself for another process",
	"plain fcntl":          early + later,
	"plain mmap":           early + later,
	"futex":                early + later,
	"epoll_create1":        later,
	"epoll_ctl":            later,
	"epoll_pwait":          later,
	"eventfd2":             later,

	"kill":     "the signal is lost, and the log says so",
	"write":    "nothing can be said, nor the runtime's poller be woken" + later,
	"fstat":    noWord,
	"openat":   noWord + "; hooks have no stdin",
	"pwrite64": noWord,

	"health capget":    noRights,
	"health capset":    noRights,
	"health setgroups": noRights,
	"health setfsgid":  noRights,
	"health setfsuid":  noRights,
	"health close":     "a client waits for the end of its answer",
	"health umask":     "the umask says who may connect to the socket",

	"pipe2":           noHook,
	"health fcntl":    noHook,
	"child execve":    noHook,
	"child setgroups": noHook,
	"child setgid":    noHook,
	"child setuid":    noHook,
	"child dup3":      "a hook's output goes where usher's own goes",

	"health accept4":    "no endpoints, and the log says so",
	"health connect":    "checks fail",
	"health fchmodat":   "the umask says who may connect to the socket",
	"health newfstatat": "file: checks fail",
	"health recvfrom":   "no endpoints",
	"health sendto":     "no endpoints",
	"health setsockopt": "unix: checks fail",
}

// Reasons.
const (
	noGo     = "the Go runtime ends itself with SIGSEGV, as that of every Go program does, before any code of usher's has run"
	early    = "a plain app is started before the Go runtime, which ends with 125 and a line when it finds out"
	later    = "; where what has worked before fails in the runtime, it ends with a trace"
	noWord   = "no termination log, and the log says so"
	noRights = "no termination log in a directory of the app's, and the log says so: it takes the app's rights"
	noHook   = "a hook can't be started, and has failed"
)

// fault is a call that is refused, and how often.
type fault struct {
	scenario *faultScenario
	child    bool
	call     string
	errno    unix.Errno
	nth      int // 0 is all
}

func (f *fault) key() string {
	if f.child {
		return "child " + f.call
	}
	return f.call
}

func (f *fault) String() string {
	often := "always"
	if f.nth > 0 {
		often = fmt.Sprintf("number %d", f.nth)
	}
	return fmt.Sprintf("%s: %s %s, %s", f.scenario.name, f.key(), unix.ErrnoName(f.errno), often)
}

// faultOutcome is what is seen of a run.
type faultOutcome struct {
	code           int
	stdout, stderr string
	log            string // its reason
	cpu            time.Duration
	calls          map[[2]string]int // by child and name
	hung           bool
}

func (o *faultOutcome) String() string {
	return fmt.Sprintf("exit code %d, hung %v, CPU %v, log %q\nstdout: %q\nstderr: %q", o.code, o.hung, o.cpu, o.log, o.stdout, o.stderr)
}

// syscallNumbers are those of golang.org/x/sys/unix, by name.
var syscallNumbers = sync.OnceValues(func() (map[string]int, error) {
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "golang.org/x/sys").Output()
	if err != nil {
		return nil, err
	}
	b, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(dir)), "unix", "zsysnum_linux_"+runtime.GOARCH+".go"))
	numbers := map[string]int{}
	for _, m := range regexp.MustCompile(`SYS_(\w+)\s*= (\d+)`).FindAllStringSubmatch(string(b), -1) {
		numbers[strings.ToLower(m[1])], _ = strconv.Atoi(m[2])
	}
	return numbers, err
})

// faultRun runs a scenario, with a fault if that is not nil.
func faultRun(t *testing.T, refuser string, s *faultScenario, f *fault) *faultOutcome {
	t.Helper()
	numbers, err := syscallNumbers()
	if err != nil {
		t.Error(err)
		return &faultOutcome{}
	}
	dir, err := os.MkdirTemp(filepath.Dir(made.path), "fault")
	if err != nil {
		t.Error(err)
		return &faultOutcome{}
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Error(err)
		return &faultOutcome{}
	}
	args := []string{"-report", filepath.Join(dir, "report"), "-execs", fmt.Sprint(s.execs - 1)}
	if f != nil {
		args = append(args, "-call", fmt.Sprint(numbers[f.call]), "-errno", fmt.Sprint(int(f.errno)), "-nth", fmt.Sprint(f.nth), fmt.Sprintf("-child=%t", f.child))
	}
	const limit = 15 * time.Second
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, refuser, append(args, "--", "/bin/sh", "-c", s.script)...)
	cmd.Env = append(environ(), noLog...)
	cmd.Env = append(cmd.Env, "usher="+made.path, "dir="+dir)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr, cmd.WaitDelay = &stdout, &stderr, time.Second
	err = cmd.Run()
	o := &faultOutcome{code: cmd.ProcessState.ExitCode(), stdout: stdout.String(), stderr: stderr.String(), calls: map[[2]string]int{}}
	o.hung = ctx.Err() != nil || errors.Is(err, exec.ErrWaitDelay)
	if b, err := os.ReadFile(filepath.Join(dir, "log")); err == nil {
		o.log, _, _ = strings.Cut(string(b), ":")
	}
	names := map[string]string{}
	for name, number := range numbers {
		names[fmt.Sprint(number)] = name
	}
	b, _ := os.ReadFile(filepath.Join(dir, "report"))
	for line := range strings.Lines(string(b)) {
		fields := strings.Fields(line)
		if fields[0] == "cpu" {
			ms, _ := strconv.Atoi(fields[1])
			o.cpu = time.Duration(ms) * time.Millisecond
			continue
		}
		o.calls[[2]string{fields[0], names[fields[1]]}], _ = strconv.Atoi(fields[2])
	}
	return o
}

// traces is what a Go runtime's trace has.
var traces = regexp.MustCompile(`goroutine \d+|fatal error: .*\n\n|\[signal |panic: `)

// judge says what is wrong with an outcome; "" is nothing. A loss of the table makes up for it if that has allowed in it.
func (f *fault) judge(o, normal *faultOutcome) (wrong, allowed string) {
	// Under a tracer, and on a busy machine, a run takes 50 ms.
	const cpuLimit = time.Second
	switch {
	case o.hung:
		return "it hangs", "nothing has this in it"
	case o.cpu > cpuLimit:
		return "it takes a CPU", "nothing has this in it"
	case traces.MatchString(o.stderr):
		return "a trace of the Go runtime", later
	case o.code == normal.code && o.stdout == normal.stdout && o.log == normal.log:
		return "", ""
	case o.code >= 125 && o.code <= 127 && !strings.Contains(o.stdout, "started") && strings.Contains(o.stderr, "usher: ") && strings.Count(o.stderr, "\n") <= 4:
		return "", ""
	}
	return "it is not as without the fault", ""
}

// With 5a6c03f some 70 of 1,030 went wrong, 10 of them in hanging.
func TestFaults(t *testing.T) {
	if runtime.GOARCH != "amd64" || os.Getuid() != 0 {
		t.Skip("needs root, and a tracer that is for amd64")
	}
	refuser := filepath.Join(filepath.Dir(made.path), "refuser")
	if out, err := exec.Command("go", "build", "-o", refuser, "./testdata/refuser").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	all := os.Getenv("USHER_FAULTS") == "all"
	normal := map[string]*faultOutcome{}
	var faults []*fault
	for i := range faultScenarios {
		s := &faultScenarios[i]
		o := faultRun(t, refuser, s, nil)
		if o.code != 7 || strings.Contains(o.stdout, "never") || len(o.calls) < 20 {
			t.Fatalf("%s: %v, %d calls", s.name, o, len(o.calls))
		}
		normal[s.name] = o
		for _, call := range slices.SortedFunc(maps.Keys(o.calls), func(a, b [2]string) int { return strings.Compare(a[0]+a[1], b[0]+b[1]) }) {
			n := o.calls[call]
			times := []int{0, 1}
			if all {
				times = append(times, min(2, n), min(3, n), (n+1)/2)
				slices.Sort(times)
				times = slices.Compact(times)
			}
			for _, nth := range times {
				for _, errno := range []unix.Errno{unix.EPERM, unix.ENOSYS} {
					faults = append(faults, &fault{s, call[0] == "true", call[1], errno, nth})
				}
			}
		}
		t.Logf("%s: %d calls", s.name, len(o.calls))
	}
	// A sample has its time; it begins with what had gone wrong, and is the same each time.
	const sampleTime = 20 * time.Second
	began := time.Now()
	if only := os.Getenv("USHER_FAULT"); only != "" { // one call
		faults = slices.DeleteFunc(faults, func(f *fault) bool { return !strings.Contains(f.String(), only) })
	} else if !all {
		slices.SortStableFunc(faults, func(a, b *fault) int { return sampleOrder(a) - sampleOrder(b) })
	}
	var mu sync.Mutex
	ran, seen := 0, map[string]bool{}
	work := make(chan *fault)
	var workers sync.WaitGroup
	for range runtime.NumCPU() {
		workers.Go(func() {
			for f := range work {
				o := faultRun(t, refuser, f.scenario, f)
				wrong, allowed := f.judge(o, normal[f.scenario.name])
				mu.Lock()
				ran++
				keys := []string{f.scenario.name + " " + f.key(), f.key()}
				if wrong != "" {
					i := slices.IndexFunc(keys, func(key string) bool { return faultLosses[key] != "" })
					if i >= 0 {
						seen[keys[i]] = true
					}
					if i < 0 || !strings.Contains(faultLosses[keys[i]], allowed) {
						t.Errorf("%v: %s: %v", f, wrong, o)
					}
				}
				mu.Unlock()
			}
		})
	}
	for _, f := range faults {
		if !all && time.Since(began) > sampleTime {
			break
		}
		work <- f
	}
	close(work)
	workers.Wait()
	t.Logf("%d of %d faults in %v", ran, len(faults), time.Since(began))
	for key := range faultLosses {
		if all && !seen[key] {
			t.Logf("%s cost nothing this time", key)
		}
	}
}

// sampleOrder puts first what has gone wrong before, and mixes the rest.
func sampleOrder(f *fault) int {
	if slices.Contains([]string{"rt_sigtimedwait", "wait4", "epoll_create1", "eventfd2", "kill", "read", "clone", "mmap"}, f.call) {
		return f.nth
	}
	h := 0
	for _, c := range f.String() {
		h = (h*31 + int(c)) % 1000
	}
	return 10 + h
}
