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

// kept is set if a keeper watches already: in the second process, and in test
// binaries that tests start.
const kept = "TESTMAIN_KEPT"

// patience is how long the keeper waits for processes that are about to end,
// such as the other processes of a PID namespace that was just killed.
var patience = 10 * time.Second

// Main runs the tests and ends the process. Call it from TestMain. run is the
// Run of testing.M, or a function around it. Of the variables that begin with
// USHER_, which configure usher, the tests see only those in keep; a star at
// the end stands for any ending.
func Main(run func() int, keep ...string) {
	// A worker of `go test -fuzz` speaks with its parent over inherited
	// descriptors, and starts no processes.
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

// Fuzzing reports whether this is `go test -fuzz`, or whether tests are only
// listed. Then nothing has to be built for them.
func Fuzzing() bool {
	return argument("-test.fuzz=") || argument("-test.fuzzworker") || argument("-test.list=")
}

func argument(prefix string) bool {
	return slices.ContainsFunc(os.Args, func(arg string) bool { return strings.HasPrefix(arg, prefix) })
}

// keepWatch is the keeper: it runs the tests in a process of their own, and
// returns that process's exit code.
func keepWatch(keep []string) (int, error) {
	// PR_SET_PDEATHSIG and the mask of blocked signals belong to the thread. This
	// goroutine never gives its thread back.
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
		// Without a terminal, as in CI. The keeper gets the terminal's Ctrl-C and its
		// end.
		Sys: &syscall.SysProcAttr{Setsid: true, Pdeathsig: unix.SIGKILL},
	})
	if err != nil {
		return 0, fmt.Errorf("starting the tests: %w", err)
	}
	go func() {
		for sig := range stops {
			// The keeper stays, to clean up. `go test` sends SIGQUIT, for a trace, when the
			// time limit has passed.
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

// ignoredSignals returns the signals that this process has ignored since its
// start.
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

// defaultSignals makes the children of this thread start with no signal ignored
// or blocked. For a signal that has a handler in this process, the runtime
// restores the default action in the child.
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
		_, _, err := unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(sig),
			uintptr(unsafe.Pointer(&zero)), 0, size, 0, 0)
		if err != 0 {
			return fmt.Errorf("%v: rt_sigaction: %w", sig, err)
		}
	}
	return unix.PthreadSigmask(unix.SIG_SETMASK, new(unix.Sigset_t), nil)
}

// tempDir makes the directory for all temporary files of the tests. Tests put
// sockets there, whose paths are limited to 107 bytes, and programs that other
// users run.
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
	return "", fmt.Errorf("none of %q has a short path and lets every user through: "+
		"no directory for temporary files", dirs)
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
