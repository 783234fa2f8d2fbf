package dockerfiles

import (
	"fmt"
	"strings"
	"testing"
)

// TestHealthcheck: the image's HEALTHCHECK, `usher --probe readyz`, in a container that has nothing else to ask with. Only
// its interval is another, or the test would take minutes.
func TestHealthcheck(t *testing.T) {
	t.Parallel()
	c := serving(t, []string{"--health-interval=300ms", "-e=USHER_READY_FAILURE_THRESHOLD=1"})
	app := c.address(8080)
	c.wantHealth("healthy")
	request("DELETE", app, "/ready")
	c.wantHealth("unhealthy")
	log := c.inspect().State.Health.Log
	if last := log[len(log)-1]; last.ExitCode != 1 || !strings.Contains(last.Output, "ready") {
		t.Errorf("docker inspect shows exit code %d and %q for the failed probe, want 1 and the check's name", last.ExitCode, last.Output)
	}
	request("PUT", app, "/ready")
	c.wantHealth("healthy")
}

// TestHealthcheckStarting: not healthy before the app is ready for the first time.
func TestHealthcheckStarting(t *testing.T) {
	t.Parallel()
	c := start(t, spec{image: scratchImage, flags: []string{"--health-interval=200ms", "--health-start-period=1h",
		"-e=USHER_READY_CHECK=http://127.0.0.1:8081/", "-e=USHER_READY_PERIOD=100ms"}})
	eventually(t, "the engine has probed three times", func() bool { return len(c.inspect().State.Health.Log) >= 3 })
	if s := c.inspect().State.Health.Status; s != "starting" {
		t.Errorf("the container is %s though the app was never ready", s)
	}
	if status, body := request("GET", c.address(8086), "/readyz"); status != 503 || !strings.Contains(body, "[-]") {
		t.Errorf("GET /readyz: %d %q", status, body)
	}
	if status, _ := request("GET", c.address(8086), "/livez"); status != 200 {
		t.Errorf("GET /livez: %d, and the app runs", status)
	}
}

// TestProbe: as an exec probe or by hand, with the address from the image's ENV.
func TestProbe(t *testing.T) {
	t.Parallel()
	c := serving(t, []string{"-e=USHER_TERM_DELAY=1h"})
	want := func(endpoint string, want int) {
		t.Helper()
		if out, errOut, code, err := dockerCode("exec", c.name, "/usher", "--probe", endpoint); err != nil || code != want {
			t.Errorf("usher --probe %s: exit code %d (%v), want %d\n%s%s", endpoint, code, err, want, out, errOut)
		}
	}
	want("readyz", 0)
	want("livez", 0)
	want("http://127.0.0.1:8080/", 0)
	want("tcp://127.0.0.1:8080", 0)
	want("tcp://127.0.0.1:8081", 1)
	c.kill("TERM")
	wantStatus(t, c.address(8086), "/readyz", 503)
	want("readyz", 1)
	want("livez", 0)
}

func (c *container) wantHealth(want string) {
	c.t.Helper()
	eventually(c.t, fmt.Sprintf("%s is %s", c.name, want), func() bool { return c.inspect().State.Health.Status == want })
}

// TestMetrics: the container's own memory, from its cgroup.
func TestMetrics(t *testing.T) {
	t.Parallel()
	c := serving(t, []string{"--memory=64m"})
	eventually(t, "the limit is among the metrics", func() bool {
		status, body := request("GET", c.address(8086), "/metrics")
		return status == 200 && strings.Contains(body, "\nusher_memory_limit_bytes 6.7108864e+07\n") && strings.Contains(body, "\nusher_app_up 1\n")
	})
}

// TestUsherCheck: the image has it beside usher, for what needs TLS or HTTP/2, and to be copied on its own.
func TestUsherCheck(t *testing.T) {
	t.Parallel()
	r := run(t, spec{usherImage, []string{"--entrypoint", "/usher-check"}, []string{"grpc://127.0.0.1:1"}})
	if r.code != 1 || r.stdout != "connection refused\n" {
		t.Errorf("usher-check: %d %q %q", r.code, r.stdout, r.stderr)
	}
	r = run(t, spec{usherImage, nil, []string{"--probe", "https://127.0.0.1:1"}})
	if r.code != 1 || r.stdout != "connection refused\n" {
		t.Errorf("usher --probe: %d %q %q", r.code, r.stdout, r.stderr)
	}
}
