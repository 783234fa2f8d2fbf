package main_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"usher/signals/entry"
	"usher/signals/testmain"
)

// The tests run the binary that users run, made by the Makefile, as PID 1 of a PID namespace of its own wherever that is
// allowed; and beside it what a plain `go build` makes, which takes its signals in another way, and which has the race detector in it where these
// tests have.

// patience is how long a test polls for what has to happen. It is long because CI has two cores, and costs nothing when all is well.
const patience = 20 * time.Second

type build struct {
	name, path string
	complete   bool // has the kernel's signal source: nothing lost, senders known
}

var (
	made   build // make build
	plain  build // go build
	builds []*build
	// receiver prints the signals it gets: testdata/receiver.
	receiver string
)

func TestMain(m *testing.M) {
	entry.Running = true // these tests' own traces are wanted whole
	testmain.Main(func() int { return run(m) }, "USHER_STRESS*", "USHER_FAULT*")
}

func run(m *testing.M) int {
	if testmain.Fuzzing() {
		return m.Run()
	}
	dir, err := os.MkdirTemp("", "usher-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o755); err != nil { // for tests that drop to another user
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	made = build{"make", filepath.Join(dir, "usher"), runtime.GOARCH == "amd64" || runtime.GOARCH == "arm64"}
	plain = build{"plain", filepath.Join(dir, "usher-plain"), false}
	builds = []*build{&made, &plain}
	if raceDetector { // which is in the plain build only
		builds = builds[1:]
	}
	receiver = filepath.Join(dir, "receiver")
	if path := os.Getenv(envBuilt); path != "" { // see ownNetwork
		made.path = path
		return m.Run()
	}
	plainly := []string{"env", "CGO_ENABLED=0", "go", "build", "-o", plain.path, "."}
	if raceDetector {
		plainly = []string{"env", "CGO_ENABLED=1", "go", "build", "-race", "-o", plain.path, "."}
	}
	for _, c := range [][]string{
		{"make", "-s", "-C", "../..", "build", "OUT=" + made.path, "CHECK=" + filepath.Join(dir, "usher-check")},
		plainly,
		{"make", "-s", "-C", "../..", "build", "PKG=./cmd/usher/testdata/receiver", "OUT=" + receiver},
	} {
		cmd := exec.Command(c[0], c[1:]...)
		if out, err := cmd.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n%s", strings.Join(c, " "), err, out)
			return 1
		}
	}
	return m.Run()
}

// eachBuild runs a test on both builds.
func eachBuild(t *testing.T, f func(t *testing.T, b *build)) {
	for _, b := range builds {
		t.Run(b.name, func(t *testing.T) {
			t.Parallel()
			f(t, b)
		})
	}
}

// namespaces are the clone flags that make a process PID 1, as root or with a user namespace of its own.
var namespaces = sync.OnceValues(func() (*syscall.SysProcAttr, error) {
	try := func(a *syscall.SysProcAttr) error {
		cmd := exec.Command("/bin/true")
		cmd.SysProcAttr = a
		return cmd.Run()
	}
	root := &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID | syscall.CLONE_NEWNS}
	err := try(root)
	if err == nil {
		return root, nil
	}
	user := &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWPID | syscall.CLONE_NEWNS | syscall.CLONE_NEWUSER,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	}
	if try(user) == nil {
		return user, nil
	}
	return nil, err
})

// usher is a running usher.
type usher struct {
	t      *testing.T
	cmd    *exec.Cmd
	stdout output
	stderr output
	done   chan struct{}
	err    error
}

// output collects what a process writes, for a reader that does not want to wait for its end.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// command prepares usher with args as PID 1; tests may change it before begin.
func command(t *testing.T, b *build, args ...string) *usher {
	t.Helper()
	attr, err := namespaces()
	if err != nil {
		t.Skipf("no PID namespace can be made here: %v", err)
	}
	u := commandHere(t, b, args...)
	copied := *attr
	u.cmd.SysProcAttr = &copied
	return u
}

// noLog keeps usher from writing to the termination log of the container that the tests run in. Where there is none, there is no variable: then
// the app of a plain command line is started before the Go runtime, and with a variable it is not.
var noLog = func() []string {
	if _, err := os.Lstat("/dev/termination-log"); err != nil {
		return nil
	}
	return []string{"USHER_TERMINATION_LOG="}
}()

// environ is the environment without what begins as usher's variables do, and is these tests' (USHER_DOCKER).
func environ() []string {
	return slices.DeleteFunc(os.Environ(), func(variable string) bool { return strings.HasPrefix(variable, "USHER_") })
}

// commandHere prepares usher as an ordinary process.
func commandHere(t *testing.T, b *build, args ...string) *usher {
	u := &usher{t: t, cmd: exec.Command(b.path, args...), done: make(chan struct{})}
	u.cmd.Stdout, u.cmd.Stderr = &u.stdout, &u.stderr
	u.cmd.Env = append(environ(), noLog...)
	u.cmd.WaitDelay = 5 * time.Second // a straggler that holds the pipe open
	return u
}

func (u *usher) begin() *usher {
	u.t.Helper()
	if err := u.cmd.Start(); err != nil {
		u.t.Fatal(err)
	}
	pipes := pipesOf(u.cmd.Process.Pid)
	go func() {
		u.err = u.cmd.Wait()
		close(u.done)
	}()
	u.t.Cleanup(func() {
		testmain.KillTree(u.cmd.Process)
		if u.t.Failed() {
			killWriters(pipes)
		}
		<-u.done
	})
	return u
}

// start runs usher as PID 1.
func start(t *testing.T, b *build, args ...string) *usher {
	t.Helper()
	return command(t, b, args...).begin()
}

// wait returns usher's exit code; 128+n if it was killed itself.
func (u *usher) wait() int {
	u.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	select {
	case <-u.done:
	case <-ctx.Done():
		u.t.Fatalf("usher has not ended\nstdout: %s\nstderr: %s", &u.stdout, &u.stderr)
	}
	var exit *exec.ExitError
	if u.err != nil && !errors.As(u.err, &exit) && !errors.Is(u.err, exec.ErrWaitDelay) {
		u.t.Fatal(u.err)
	}
	if raceDetector && strings.Contains(u.stderr.String(), "DATA RACE") {
		u.t.Errorf("%s", &u.stderr)
	}
	ws := u.cmd.ProcessState.Sys().(syscall.WaitStatus)
	if ws.Signaled() {
		u.t.Logf("usher itself was killed by %v", ws.Signal())
		return 128 + int(ws.Signal())
	}
	return ws.ExitStatus()
}

// signal sends usher a signal from outside its namespace.
func (u *usher) signal(sig syscall.Signal) {
	u.t.Helper()
	if err := u.cmd.Process.Signal(sig); err != nil {
		u.t.Fatalf("cannot send %v: %v", sig, err)
	}
}

// printed waits until the app's stdout has text.
func (u *usher) printed(text string) {
	u.t.Helper()
	eventually(u.t, func() error {
		if !strings.Contains(u.stdout.String(), text) {
			return fmt.Errorf("%q has not been printed\nstdout: %s\nstderr: %s", text, &u.stdout, &u.stderr)
		}
		return nil
	})
}

// logged waits until usher's log has text.
func (u *usher) logged(text string) {
	u.t.Helper()
	eventually(u.t, func() error {
		if !strings.Contains(u.stderr.String(), text) {
			return fmt.Errorf("%q has not been logged\nstdout: %s\nstderr: %s", text, &u.stdout, &u.stderr)
		}
		return nil
	})
}

// eventually polls until f returns nil.
func eventually(t *testing.T, f func() error) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(2 * time.Millisecond) {
		err := f()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

// want compares an exit code.
func (u *usher) want(code int) {
	u.t.Helper()
	if got := u.wait(); got != code {
		u.t.Fatalf("exit code %d, want %d\nstdout: %s\nstderr: %s", got, code, &u.stdout, &u.stderr)
	}
}

// eventuallyCount waits until the app has printed text so often.
func eventuallyCount(t *testing.T, u *usher, text string, n int) {
	t.Helper()
	eventually(t, func() error {
		if got := strings.Count(u.stdout.String(), text); got != n {
			return fmt.Errorf("%q %d times, want %d\nstdout: %s\nstderr: %s", text, got, n, &u.stdout, &u.stderr)
		}
		return nil
	})
}
