// Package dockerfiles holds no code: what is here are the images, and these tests build each from its Dockerfile and run it
// with a real Docker engine. Without one they are skipped, or fail if USHER_DOCKER=required, which CI sets.
package dockerfiles

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"usher/signals/testmain"
)

// label marks every container and image of these tests; its value is this run's, so that two runs at once do not clear
// each other's containers away.
const label = "usher-test"

var thisRun = fmt.Sprint(os.Getpid())

func TestMain(m *testing.M) {
	testmain.Main(func() int {
		code := m.Run()
		if err := clear(); err != nil {
			fmt.Fprintln(os.Stderr, "dockerfiles:", err)
			code = max(code, 1)
		}
		return code
	}, "USHER_DOCKER*")
}

// clear removes what is left of this run: containers of tests that panicked, and the images that a rebuild has left nameless.
func clear() error {
	if engine() != nil {
		return nil
	}
	ids, err := docker("ps", "-aq", "--filter", "label="+label+"="+thisRun)
	if err != nil {
		return err
	}
	if ids != "" {
		if _, err := docker(append([]string{"rm", "-f", "-v"}, strings.Fields(ids)...)...); err != nil {
			return err
		}
		return fmt.Errorf("containers were left behind and had to be removed: %s", strings.Fields(ids))
	}
	_, err = docker("image", "prune", "-f", "--filter", "label="+label)
	return err
}

// A missingError is a reason not to run these tests on this machine, unlike one that they failed.
type missingError struct{ reason string }

func (e missingError) Error() string { return e.reason }

// engine says why no Docker engine can be used, or nil.
var engine = sync.OnceValue(func() error {
	if _, err := exec.LookPath("docker"); err != nil {
		return missingError{"no Docker: the docker command is not installed (Debian: apt-get install docker.io)"}
	}
	if _, err := docker("version", "--format", "{{.Server.Version}}"); err != nil {
		return missingError{fmt.Sprintf("no Docker engine answers (.ci/run starts one): %v", err)}
	}
	return nil
})

// need fails the test for err; it skips it where something is missing that does not have to be there.
func need(t *testing.T, err error) {
	t.Helper()
	switch missing := (missingError{}); {
	case err == nil:
	case errors.As(err, &missing) && os.Getenv("USHER_DOCKER") != "required":
		t.Skipf("%v; USHER_DOCKER=required would make this a failure", missing)
	default:
		t.Fatal(err)
	}
}

// No single docker command takes longer, so that a hanging one fails its test and not, at go test's own timeout, the whole
// run without a word. Builds that install packages are the slowest.
const commandLimit = 3 * time.Minute

// docker runs a docker command and returns its stdout. An error has what it said on stderr.
func docker(args ...string) (string, error) {
	out, errOut, code, err := dockerCode(args...)
	if err == nil && code != 0 {
		err = fmt.Errorf("exit code %d", code)
	}
	if err != nil {
		return "", fmt.Errorf("cannot run %q: %w\n%s", "docker "+strings.Join(args, " "), err, strings.TrimSpace(out+errOut))
	}
	return strings.TrimSpace(out), nil
}

// dockerCode is docker for commands whose exit code is a result and no failure.
func dockerCode(args ...string) (out, errOut string, code int, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), commandLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, "docker", args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err = cmd.Run()
	var ended *exec.ExitError
	if errors.As(err, &ended) && ended.Exited() {
		err = nil
	}
	return stdout.String(), stderr.String(), cmd.ProcessState.ExitCode(), err
}

// eventually polls until ok returns true, and fails the test with what it was waiting for when that takes too long.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	const limit = 20 * time.Second
	for deadline := time.Now().Add(limit); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("still not after %v: %s", limit, what)
		}
	}
}
