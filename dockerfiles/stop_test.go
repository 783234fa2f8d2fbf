package dockerfiles

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// serving starts the app of the scratch image and waits until usher calls it ready.
func serving(t *testing.T, flags []string, command ...string) *container {
	t.Helper()
	if command == nil {
		command = []string{"/app", "serve"}
	}
	c := start(t, spec{scratchImage, append([]string{"-e=USHER_READY_PERIOD=100ms"}, flags...), command})
	wantStatus(t, c.address(8086), "/readyz", 200)
	return c
}

// TestStop: docker stop ends the container as soon as the app is gone, with the app's code.
func TestStop(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		onTerm string
		want   int
	}{{"die", 143}, {"drain", 0}} {
		t.Run(tt.onTerm, func(t *testing.T) {
			t.Parallel()
			c := serving(t, nil, "/app", "serve", "--term", tt.onTerm)
			if took := c.stop(); took > 5*time.Second {
				t.Errorf("docker stop took %v, want the app's end and no more", took)
			}
			c.wantExit(tt.want)
		})
	}
}

// TestStopIgnored has the reason to use an init at all: a program that says nothing about TERM ignores it as PID 1, is
// killed after the full wait, and must not be behind usher.
func TestStopIgnored(t *testing.T) {
	t.Parallel()
	shell := []string{"sh", "-c", "echo started; sleep 1000; echo slept"}
	t.Run("control", func(t *testing.T) {
		t.Parallel()
		c := start(t, spec{nginxImage, []string{"--entrypoint=" + shell[0]}, shell[1:]})
		c.wantLog("started")
		c.docker("stop", "-t", "1", c.name)
		c.wantExit(137)
	})
	t.Run("usher", func(t *testing.T) {
		t.Parallel()
		c := start(t, spec{nginxImage, []string{"--entrypoint=/usher"}, append([]string{"--"}, shell...)})
		c.wantLog("started")
		if took := c.stop(); took > 5*time.Second {
			t.Errorf("docker stop took %v", took)
		}
		c.wantExit(143)
	})
}

// TestHold: through the whole term delay the app serves and usher says that it is about to go; then it is told to stop.
func TestHold(t *testing.T) {
	t.Parallel()
	const delay = 3 * time.Second
	c := serving(t, []string{fmt.Sprintf("-e=USHER_TERM_DELAY=%v", delay)})
	health := c.address(8086)

	begin := time.Now()
	stopped := c.beginStop()
	wantStatus(t, health, "/readyz", 503)
	if status, body := request("GET", health, "/livez"); status != 200 {
		t.Errorf("livez during the hold: %d %s", status, body)
	}
	c.kill("HUP")
	c.wantLog("got signal 1\n") // other signals do not wait

	c.servesFor(delay, begin, 8080)
	took := stopped()
	if took < delay || took > delay+3*time.Second {
		t.Errorf("docker stop took %v, want the hold of %v and little more", took, delay)
	}
	c.wantExit(143)
}

// servesFor sends requests until one fails, which must not be before the delay has passed.
func (c *container) servesFor(delay time.Duration, begin time.Time, port int) {
	c.t.Helper()
	addr, served := c.address(port), 0
	for range time.Tick(5 * time.Millisecond) { // a steady client, that leaves the machine to the others
		status, body := request("GET", addr, "/")
		if status == 200 {
			served++
			continue
		}
		if since := time.Since(begin); since < delay {
			c.t.Errorf("%v after the stop began a request failed: %d %s", since, status, body)
		}
		break
	}
	c.t.Logf("%d requests served during the hold", served)
}

// TestNoHold: nobody waits for what nobody was sent to.
func TestNoHold(t *testing.T) {
	t.Parallel()
	c := start(t, spec{image: scratchImage, flags: []string{"-e=USHER_TERM_DELAY=1h", "-e=USHER_READY_CHECK=tcp://127.0.0.1:8081"}})
	wantStatus(t, c.address(8086), "/readyz", 503)
	if took := c.stop(); took > 5*time.Second {
		t.Errorf("docker stop took %v though the app was not ready", took)
	}
	c.wantExit(143)
}

// TestSecondStop: whoever asks twice does not want to wait.
func TestSecondStop(t *testing.T) {
	t.Parallel()
	c := serving(t, []string{"-e=USHER_TERM_DELAY=1h"})
	c.kill("TERM")
	wantStatus(t, c.address(8086), "/readyz", 503)
	c.kill("TERM")
	c.wantExit(143)
}

// TestGracePeriod: an app that does not stop is killed by usher, before the engine kills everything, reason and all.
func TestGracePeriod(t *testing.T) {
	t.Parallel()
	log, mount := terminationLog(t)
	c := serving(t, []string{"-e=USHER_GRACE_PERIOD=3s", mount}, "/app", "serve", "--term", "ignore")
	c.docker("stop", "-t", "3", c.name)
	c.wantExit(137)
	c.wantLog("got signal 15\n")
	// "ended from outside" is what would stand there had the engine been first.
	wantLastWord(t, log, "StopTimeout: killed by SIGKILL (exit code 137)")
}

// TestSignals: docker kill reaches the app, whatever it sends.
func TestSignals(t *testing.T) {
	t.Parallel()
	c := serving(t, nil)
	for _, s := range []struct {
		name   string
		number int
	}{{"HUP", 1}, {"INT", 2}, {"QUIT", 3}, {"USR1", 10}, {"USR2", 12}, {"WINCH", 28}, {"RTMIN+3", 37}, {"RTMAX", 64}} {
		c.kill(s.name)
		c.wantLog(fmt.Sprintf("got signal %d\n", s.number))
	}
	if n := strings.Count(c.logs(), "got signal"); n != 8 {
		t.Errorf("the app got %d signals of 8", n)
	}
	c.stop()
	c.wantExit(143)
}

// wantLastWord waits for the termination log to have these words.
func wantLastWord(t *testing.T, path string, words ...string) {
	t.Helper()
	var content []byte
	for _, word := range words {
		eventually(t, fmt.Sprintf("%q is in the termination log", word), func() bool {
			var err error
			content, err = os.ReadFile(path)
			return err == nil && strings.Contains(string(content), word)
		})
	}
	if len(content) > 4096 {
		t.Errorf("the termination log has %d bytes, and kubelet keeps 4096", len(content))
	}
	t.Logf("termination log: %s", content)
}
