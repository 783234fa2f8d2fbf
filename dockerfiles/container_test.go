package dockerfiles

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// A spec is a container to be: `docker run FLAGS IMAGE COMMAND`.
type spec struct {
	image   func() (string, error)
	flags   []string
	command []string
}

// A container that is removed when its test ends, with its log printed if that failed.
type container struct {
	t    *testing.T
	name string
}

var containers atomic.Int64

// prepare names the container and has it removed, and returns the arguments of docker run.
func prepare(t *testing.T, s spec) (*container, []string) {
	t.Helper()
	tag := image(t, s.image)
	c := &container{t, fmt.Sprintf("usher-test-%s-%d", thisRun, containers.Add(1))}
	t.Cleanup(func() {
		if t.Failed() {
			out, errOut, _, _ := dockerCode("logs", "--timestamps", c.name)
			t.Logf("the log of %s:\n%s%s", c.name, out, errOut)
		}
		// Without -v an image's anonymous volumes would pile up.
		if _, err := docker("rm", "-f", "-v", c.name); err != nil {
			t.Error(err)
		}
	})
	args := append([]string{"--name", c.name, "--label", label + "=" + thisRun}, s.flags...)
	return c, append(append(args, tag), s.command...)
}

// A result is what docker run gave back.
type result struct {
	code           int
	stdout, stderr string
}

// run runs a container to its end, as a user in front of it does.
func run(t *testing.T, s spec) result {
	t.Helper()
	_, args := prepare(t, s)
	stdout, stderr, code, err := dockerCode(append([]string{"run"}, args...)...)
	if err != nil {
		t.Fatal(err)
	}
	return result{code, stdout, stderr}
}

// start runs a container in the background.
func start(t *testing.T, s spec) *container {
	t.Helper()
	c, args := prepare(t, s)
	if _, err := docker(append([]string{"run", "-d"}, args...)...); err != nil {
		t.Fatal(err)
	}
	return c
}

// A state is the part of `docker inspect` that the tests look at.
type state struct {
	State struct {
		Status   string
		ExitCode int
		Pid      int // as the host sees it
		Health   struct {
			Status string
			Log    []struct {
				ExitCode int
				Output   string
			}
		}
	}
	NetworkSettings struct {
		Networks map[string]struct{ IPAddress string }
	}
}

func (c *container) inspect() (s state) {
	c.t.Helper()
	out := c.docker("inspect", "--type", "container", "--format", "{{json .}}", c.name)
	if err := json.Unmarshal([]byte(out), &s); err != nil {
		c.t.Fatal(err)
	}
	return s
}

// docker is for commands that have to work.
func (c *container) docker(args ...string) string {
	c.t.Helper()
	out, err := docker(args...)
	if err != nil {
		c.t.Fatal(err)
	}
	return out
}

// stop is docker stop, and how long it took. It fails the test if the engine had to kill.
func (c *container) stop() time.Duration { c.t.Helper(); return c.beginStop()() }

// beginStop is docker stop in the background, and the function that waits for its end.
func (c *container) beginStop() (end func() time.Duration) {
	const grace = 10 * time.Second
	begin := time.Now()
	stopped := make(chan error, 1)
	go func() {
		_, err := docker("stop", "-t", fmt.Sprint(grace.Seconds()), c.name)
		stopped <- err
	}()
	return func() time.Duration {
		c.t.Helper()
		if err := <-stopped; err != nil {
			c.t.Fatal(err)
		}
		took := time.Since(begin)
		if took >= grace {
			c.t.Errorf("docker stop took %v: the engine killed the container", took)
		}
		return took
	}
}

// kill is docker kill -s.
func (c *container) kill(signal string) { c.t.Helper(); c.docker("kill", "-s", signal, c.name) }

// exitCode waits for the container to end.
func (c *container) exitCode() (code int) {
	c.t.Helper()
	eventually(c.t, c.name+" has ended", func() bool {
		s := c.inspect().State
		code = s.ExitCode
		return s.Status == "exited"
	})
	return code
}

func (c *container) wantExit(want int) {
	c.t.Helper()
	if code := c.exitCode(); code != want {
		c.t.Errorf("the container ended with %d, want %d", code, want)
	}
}

// logs is stdout and stderr so far.
func (c *container) logs() string {
	c.t.Helper()
	stdout, stderr, _, err := dockerCode("logs", c.name)
	if err != nil {
		c.t.Fatal(err)
	}
	return stdout + stderr
}

func (c *container) wantLog(line string) {
	c.t.Helper()
	eventually(c.t, fmt.Sprintf("%q is in the log", line), func() bool { return strings.Contains(c.logs(), line) })
}

// address is where the container's port can be reached from here: no port is published for it.
func (c *container) address(port int) (addr string) {
	c.t.Helper()
	for _, n := range c.inspect().NetworkSettings.Networks {
		addr = fmt.Sprintf("%s:%d", n.IPAddress, port)
	}
	return addr
}

// A client without keep-alive: each request is a new connection, as a load balancer's that has just learnt the address.
var client = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 30 * time.Second}

// request returns status 0 and the error's text if nobody answers.
func request(method, addr, path string) (status int, body string) {
	req, err := http.NewRequest(method, "http://"+addr+path, nil)
	if err != nil {
		return 0, err.Error()
	}
	resp, err := client.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err.Error()
	}
	return resp.StatusCode, string(b)
}

// wantStatus waits until GET answers so.
func wantStatus(t *testing.T, addr, path string, want int) {
	t.Helper()
	eventually(t, fmt.Sprintf("GET %s answers %d", path, want), func() bool {
		status, _ := request("GET", addr, path)
		return status == want
	})
}

// terminationLog is a file as kubelet makes it, and the flag that mounts it as kubelet does.
func terminationLog(t *testing.T) (path, flag string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "termination-log")
	if err := os.WriteFile(path, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o666); err != nil { // whatever the umask
		t.Fatal(err)
	}
	return path, "-v=" + path + ":/dev/termination-log"
}
