package main_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// Tests of traffic need a network namespace in which nothing else moves. The test binary runs them again there, in a process of its own.

const (
	envInside = "USHER_TEST_NETWORK"  // the name of the test that runs there
	envBuilt  = "USHER_TEST_BINARIES" // where the parent has built usher
)

var skipped = regexp.MustCompile(`(?m)^ +\S+_test\.go:\d+: (.*)\n(?: *--- PASS: .*\n)* *--- SKIP`)

// ownNetwork reports whether the test is to go on: it runs where it has a network namespace with a loopback interface of its own. Otherwise
// it has just run there, and all is said.
func ownNetwork(t *testing.T) bool {
	t.Helper()
	if os.Getenv(envInside) == t.Name() {
		if err := loopbackUp(); err != nil {
			t.Fatal(err)
		}
		return true
	}
	t.Parallel()
	goServer(t)
	inOwnNetwork(t.Name())(t)
	return false
}

// inOwnNetwork runs the test of that name there. What it returns reports to the test how it went.
func inOwnNetwork(name string) (report func(t *testing.T)) {
	attr, err := namespaces()
	if err != nil {
		return func(t *testing.T) { t.Skipf("no namespace can be made here: %v", err) }
	}
	inside := *attr
	inside.Cloneflags = inside.Cloneflags&syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET
	pattern := "^" + strings.ReplaceAll(regexp.QuoteMeta(name), "/", "$/^") + "$"
	cmd := exec.Command("/proc/self/exe", "-test.run", pattern, "-test.v", "-test.timeout", "3m")
	cmd.Env = append(os.Environ(), envInside+"="+name, envBuilt+"="+made.path)
	cmd.SysProcAttr = &inside
	out, err := cmd.CombinedOutput()
	return func(t *testing.T) {
		t.Helper()
		if m := skipped.FindSubmatch(out); m != nil && err == nil {
			t.Skip(string(m[1]))
		}
		if err != nil || !bytes.Contains(out, []byte("--- PASS: "+name)) {
			t.Fatalf("in a network namespace of its own: %v\n%s", err, out)
		}
		t.Logf("%s", out)
	}
}

// goServer is testdata/server, built once, for usher's tests and those that they start.
func goServer(t *testing.T) string { return helper(t, "server") }

// helper is a program of testdata, built once, for usher's tests and those that they start.
func helper(t *testing.T, name string) string {
	t.Helper()
	path := filepath.Join(filepath.Dir(made.path), name)
	if os.Getenv(envInside) == "" {
		once, _ := helpers.LoadOrStore(name, sync.OnceValue(func() error {
			out, err := exec.Command("go", "build", "-o", path, "./testdata/"+name).CombinedOutput()
			if err != nil {
				return fmt.Errorf("testdata/%s: %w: %s", name, err, out)
			}
			return nil
		}))
		if err := once.(func() error)(); err != nil {
			t.Fatal(err)
		}
	}
	return path
}

var helpers sync.Map // of functions that build them

func loopbackUp() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	ifr, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	ifr.SetUint16(unix.IFF_UP)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, ifr); err != nil {
		return fmt.Errorf("cannot bring up the loopback interface: %w", err)
	}
	return nil
}
