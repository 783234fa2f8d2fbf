// Package testmain runs the tests of a package in a state that does not depend
// on the caller, and looks after the processes that the tests start.
//
// A child inherits more than its environment: ignored and blocked signals, the
// umask, the terminal. Under nohup, for example, SIGHUP is ignored, and a shell
// can never trap a signal that was ignored when the shell started. Processes
// also outlive a test that failed, and then slow down the tests that follow.
//
// So the test binary starts itself once more. The first process, the keeper,
// runs no tests. It prepares the state, adopts the orphans of the second one as
// an init does, and fails the run if a process outlives the tests.
package testmain

import (
	"bytes"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// kept is set where a keeper watches already: in the second process, and in test binaries that tests start.
const kept = "TESTMAIN_KEPT"

// patience is how long the keeper waits for processes that are about to end, such as the rest of a PID namespace that was just killed.
var patience = 10 * time.Second

// Main runs the tests and ends the process; call it from TestMain. run is testing.M's Run, or a function around it. Of the variables whose names
// begin with USHER_, which configure usher, the tests see those in keep alone; a star at the end stands for any ending.
func Main(run func() int, keep ...string) {
	// A worker of `go test -fuzz` speaks with its parent over inherited descriptors, and starts no processes.
	if argument("-test.fuzzworker") || os.Getenv(kept) != "" {
		os.Exit(run())
	}
	code, err := keepWatch(keep)
	if err != nil {
		fmt.Fprintln(os.Stderr, "testmain:", err)
		code = max(code, 1)
	}
	os.Exit(code)
}

// Fuzzing reports whether `go test -fuzz` is at work, or whether tests are only listed. Then nothing has to be built for them.
func Fuzzing() bool {
	return argument("-test.fuzz=") || argument("-test.fuzzworker") || argument("-test.list=")
}

func argument(prefix string) bool {
	return slices.ContainsFunc(os.Args, func(arg string) bool { return strings.HasPrefix(arg, prefix) })
}

// keepWatch is the keeper: it runs the tests in a process of their own, and returns that process's exit code.
func keepWatch(keep []string) (int, error) {
	// PR_SET_PDEATHSIG goes by the thread, and so does the mask of blocked signals. This goroutine never gives its thread back.
	runtime.LockOSThread()
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return 0, fmt.Errorf("PR_SET_CHILD_SUBREAPER: %w", err)
	}
	ignored := ignoredSignals()
	stops := make(chan os.Signal, 8)
	signal.Notify(stops, unix.SIGHUP, unix.SIGINT, unix.SIGQUIT, unix.SIGTERM)
	if err := defaultSignals(ignored); err != nil {
		return 0, err
	}
	unix.Umask(0o022)
	tmp, err := tempDir()
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(tmp)
	null, err := os.Open(os.DevNull)
	if err != nil {
		return 0, err
	}
	// No core files in the source tree.
	var core unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_CORE, &core) == nil {
		core.Cur = 0
		_ = unix.Setrlimit(unix.RLIMIT_CORE, &core)
	}
	pid, err := syscall.ForkExec("/proc/self/exe", os.Args, &syscall.ProcAttr{
		Env:   append(environ(os.Environ(), keep), "TMPDIR="+tmp, kept+"=1"),
		Files: []uintptr{null.Fd(), 1, 2},
		// Without a terminal, as in CI. Its Ctrl-C and its end come to the keeper.
		Sys: &syscall.SysProcAttr{Setsid: true, Pdeathsig: unix.SIGKILL},
	})
	if err != nil {
		return 0, fmt.Errorf("starting the tests: %w", err)
	}
	go func() {
		for sig := range stops {
			// The keeper stays, to clean up. `go test` sends SIGQUIT for a trace when the time limit has passed.
			if sig := sig.(syscall.Signal); !slices.Contains(ignored, sig) {
				_ = unix.Kill(pid, sig)
			}
		}
	}()
	code := reap(pid)
	return code, endSurvivors()
}

// reap waits for every child, adopted ones too, until the tests have ended.
func reap(tests int) (code int) {
	for {
		var status unix.WaitStatus
		pid, err := unix.Wait4(-1, &status, 0, nil)
		switch {
		case err != nil && err != unix.EINTR:
			fmt.Fprintln(os.Stderr, "testmain: wait4:", err)
			return 1
		case err != nil || pid != tests:
		case status.Signaled():
			fmt.Fprintln(os.Stderr, "testmain: the tests were killed:", status.Signal())
			return 128 + int(status.Signal())
		default:
			return status.ExitStatus()
		}
	}
}

// endSurvivors kills what is left of the processes that the tests have started, and says what it was.
func endSurvivors() error {
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if !children() {
			return nil
		}
	}
	var names []string
	for _, pid := range Descendants(os.Getpid()) {
		names = append(names, fmt.Sprintf("%d: %s", pid, commandLine(pid)))
	}
	for deadline := time.Now().Add(patience); children(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			names = append(names, "(some of them could not be killed)")
			break
		}
		for _, pid := range Descendants(os.Getpid()) {
			_ = unix.Kill(pid, unix.SIGKILL)
		}
	}
	return fmt.Errorf("processes have outlived the tests and were killed:\n\t%s", strings.Join(names, "\n\t"))
}

// children reaps what has ended and reports whether there is more to wait for.
func children() bool {
	for {
		switch pid, err := unix.Wait4(-1, nil, unix.WNOHANG, nil); {
		case err == unix.ECHILD:
			return false
		case err == nil && pid == 0:
			return true
		}
	}
}

// KillTree kills a process and all its descendants. It is for a process that is PID 1 or a subreaper, so that orphans of its own remain its
// descendants. It is stopped first, and can start no more.
func KillTree(p *os.Process) {
	if p.Signal(unix.SIGSTOP) != nil {
		return
	}
	// All are stopped before one is killed: what a process that forks leaves behind would be another's child, and not found.
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		running := 0
		for _, pid := range Descendants(p.Pid) {
			if state, _, ok := stat(pid); ok && state != 'T' && state != 'Z' && state != 'X' {
				_ = unix.Kill(pid, unix.SIGSTOP)
				running++
			}
		}
		if running == 0 {
			break
		}
	}
	for _, pid := range Descendants(p.Pid) {
		_ = unix.Kill(pid, unix.SIGKILL)
	}
	_ = p.Kill()
}

// Descendants lists the children of a process, their children, and so on.
func Descendants(pid int) []int {
	entries, _ := os.ReadDir("/proc")
	of := map[int][]int{}
	for _, entry := range entries {
		if n, err := strconv.Atoi(entry.Name()); err == nil {
			if _, parent, ok := stat(n); ok {
				of[parent] = append(of[parent], n)
			}
		}
	}
	all := slices.Clone(of[pid])
	for i := 0; i < len(all); i++ {
		all = append(all, of[all[i]]...)
	}
	return all
}

// stat returns the state and the parent of a process, from /proc/PID/stat.
func stat(pid int) (state byte, parent int, ok bool) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	// The name, in parentheses, may have spaces and parentheses of its own.
	fields := bytes.Fields(b[bytes.LastIndexByte(b, ')')+1:])
	if err != nil || len(fields) < 2 {
		return 0, 0, false
	}
	parent, err = strconv.Atoi(string(fields[1]))
	return fields[0][0], parent, err == nil
}

func commandLine(pid int) string {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if len(b) == 0 {
		b, _ = os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	}
	line := strings.Join(strings.FieldsFunc(string(b), func(r rune) bool { return r == 0 || r == '\n' }), " ")
	return line[:min(len(line), 200)]
}

// ignoredSignals are those that this process ignores since its start.
func ignoredSignals() (ignored []syscall.Signal) {
	b, _ := os.ReadFile("/proc/self/status")
	_, after, _ := strings.Cut(string(b), "\nSigIgn:")
	field, _, _ := strings.Cut(after, "\n")
	mask, _ := strconv.ParseUint(strings.TrimSpace(field), 16, 64)
	for sig := syscall.Signal(1); sig <= 64; sig++ {
		if mask&(1<<(sig-1)) != 0 {
			ignored = append(ignored, sig)
		}
	}
	return ignored
}

// defaultSignals sees to it that children of this thread start with no signal ignored or blocked. What has a handler here gets the default
// action from the runtime, in the child.
func defaultSignals(ignored []syscall.Signal) error {
	size := uintptr(8)
	if strings.HasPrefix(runtime.GOARCH, "mips") {
		size = 16
	}
	var zero [64]byte // struct sigaction with SIG_DFL, on any architecture
	for _, sig := range ignored {
		if handled := sig == unix.SIGHUP || sig == unix.SIGINT || sig == unix.SIGQUIT || sig == unix.SIGTERM; handled {
			continue
		}
		if _, _, err := unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(sig), uintptr(unsafe.Pointer(&zero)), 0, size, 0, 0); err != 0 {
			return fmt.Errorf("%v: rt_sigaction: %w", sig, err)
		}
	}
	return unix.PthreadSigmask(unix.SIG_SETMASK, new(unix.Sigset_t), nil)
}

// tempDir makes the directory that holds all temporary files of the tests. Tests put sockets there, whose paths are limited to 107 bytes, and
// programs that other users run.
func tempDir() (string, error) {
	dirs := []string{os.TempDir(), "/tmp", "/var/tmp", "/dev/shm"}
	for _, dir := range dirs {
		if len(dir) > 20 || !forAll(dir) {
			continue
		}
		tmp, err := os.MkdirTemp(dir, "t")
		if err != nil {
			continue
		}
		return tmp, os.Chmod(tmp, 0o755)
	}
	return "", fmt.Errorf("no directory for temporary files in any of %q that has a short path and lets every user through", dirs)
}

// forAll reports whether every user may pass through a directory.
func forAll(dir string) bool {
	dir, err := filepath.EvalSymlinks(dir)
	if err != nil || !filepath.IsAbs(dir) {
		return false
	}
	for ; ; dir = filepath.Dir(dir) {
		if info, err := os.Stat(dir); err != nil || info.Mode()&0o001 == 0 {
			return false
		}
		if dir == "/" {
			return true
		}
	}
}
