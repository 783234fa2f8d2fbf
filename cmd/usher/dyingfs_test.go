package main_test

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// dyingFS is a file system that dies when it is told to: testdata/dyingfs.
type dyingFS struct {
	t      *testing.T
	dir    string // where it is mounted. No test may look there once it is dead
	source string // the directory whose files it has
	stdin  io.WriteCloser
	stdout *bufio.Reader
	end    func() // unmounts it, and ends every wait; may be called again
}

// buildDyingFS builds testdata/dyingfs, once.
var buildDyingFS = sync.OnceValues(func() (string, error) {
	path := filepath.Join(filepath.Dir(made.path), "dyingfs")
	if out, err := exec.Command("go", "build", "-o", path, "./testdata/dyingfs").CombinedOutput(); err != nil {
		return "", fmt.Errorf("testdata/dyingfs: %w: %s", err, out)
	}
	return path, nil
})

// newDyingFS mounts one that lives. It is gone at the end of the test.
func newDyingFS(t *testing.T) *dyingFS {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root, to mount a file system")
	}
	if err := unix.Access("/dev/fuse", unix.W_OK); err != nil {
		t.Skipf("/dev/fuse: %v", err)
	}
	path, err := buildDyingFS()
	if err != nil {
		t.Fatal(err)
	}
	f := &dyingFS{t: t, dir: t.TempDir(), source: t.TempDir()}
	for _, dir := range []string{f.dir, f.source} { // for apps that are another user
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	var stderr output
	cmd := exec.Command(path, f.source, f.dir)
	cmd.Stderr = &stderr
	f.stdin, _ = cmd.StdinPipe()
	stdout, _ := cmd.StdoutPipe()
	f.stdout = bufio.NewReader(stdout)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	f.end = sync.OnceFunc(func() {
		f.stdin.Close()
		cmd.Wait()
		unix.Unmount(f.dir, unix.MNT_DETACH) // or it has done so itself
	})
	t.Cleanup(f.end)
	if line, err := f.stdout.ReadString('\n'); err != nil {
		f.end()
		t.Skipf("no file system can be mounted here: %s", strings.TrimSpace(stderr.String()))
	} else if line != "mounted\n" {
		t.Fatalf("dyingfs said %q", line)
	}
	return f
}

// deadFS mounts one and has it die.
func deadFS(t *testing.T) *dyingFS {
	t.Helper()
	f := newDyingFS(t)
	f.die()
	return f
}

// die has every call that looks up a path there wait from now on, until SIGKILL.
func (f *dyingFS) die() { f.t.Helper(); f.tell("die") }

// hang has it wait so that not even SIGKILL ends it: only end does, which this has come before the end of what is running already.
func (f *dyingFS) hang() {
	f.t.Helper()
	f.tell("hang")
	f.t.Cleanup(f.end)
}

func (f *dyingFS) tell(what string) {
	f.t.Helper()
	fmt.Fprintln(f.stdin, what)
	if line, err := f.stdout.ReadString('\n'); line != "done\n" {
		f.t.Fatalf("dyingfs: %s: %q, %v", what, line, err)
	}
}

// path is that of a file there.
func (f *dyingFS) path(name string) string { return filepath.Join(f.dir, name) }

// TestDyingFS is the control: such a file system does to stat(1) what it is for, and lets go of it.
func TestDyingFS(t *testing.T) {
	for _, way := range []string{"die", "hang"} {
		f := newDyingFS(t)
		touch(t, filepath.Join(f.source, "x"))
		if err := unix.Access(f.path("x"), unix.F_OK); err != nil {
			t.Fatal(err)
		}
		stat := exec.Command("stat", f.path("x"))
		if f.tell(way); stat.Start() != nil {
			t.Skip("needs stat(1)")
		}
		process := fmt.Sprintf("/proc/%d/", stat.Process.Pid)
		eventually(t, func() error {
			if in, _ := os.ReadFile(process + "wchan"); !strings.Contains(string(in), "request_wait_answer") {
				return fmt.Errorf("stat waits in %q", in)
			}
			return nil
		})
		stat.Process.Kill()
		if way == "hang" {
			eventually(t, func() error {
				if st, _ := os.ReadFile(process + "stat"); !strings.Contains(string(st), ") D ") {
					return fmt.Errorf("after SIGKILL: %s", st)
				}
				return nil
			})
			f.end()
		}
		stat.Wait()
	}
}
