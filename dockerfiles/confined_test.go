package dockerfiles

import (
	"fmt"
	"syscall"
	"testing"
)

// TestConfined: everything at once, with less and less to do it with. The app's exit is the same in all of them.
func TestConfined(t *testing.T) {
	t.Parallel()
	hardened := []string{"--read-only", "--user=65534", "--cap-drop=ALL", "--security-opt=no-new-privileges", "--pids-limit=100", "--memory=64m"}
	for _, tt := range []struct {
		name  string
		flags []string
	}{
		{"plain", nil},
		{"read-only", []string{"--read-only"}},
		{"user", []string{"--user=65534"}},
		{"no capabilities", []string{"--cap-drop=ALL"}},
		// usher is not PID 1 then, and has to make itself the one that orphans fall to.
		{"host pids", []string{"--pid=host"}},
		{"hardened", hardened},
		{"hardened, host pids", append([]string{"--pid=host"}, hardened...)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			log, mount := terminationLog(t)
			c := serving(t, append([]string{mount, "-e=USHER_TERM_DELAY=1s"}, tt.flags...), "/app", "serve", "--term", "drain")
			app := c.address(8080)

			c.kill("USR1")
			c.wantLog("got signal 10\n")
			c.reaps(10, func() {
				if status, body := request("POST", app, "/orphans?n=10"); status != 200 {
					t.Fatal(body)
				}
			})
			if _, _, code, err := dockerCode("exec", c.name, "/usher", "--probe", "readyz"); err != nil || code != 0 {
				t.Errorf("usher --probe readyz: exit code %d (%v)", code, err)
			}

			// A request that is under way when the stop begins and outlasts the hold: the app drains, and usher lets it.
			slow := make(chan error, 1)
			go func() {
				if status, body := request("GET", app, "/slow?for=2s"); status != 200 || body != "hello at last\n" {
					slow <- fmt.Errorf("the slow request got %d %q", status, body)
				}
				close(slow)
			}()
			c.stop()
			if err := <-slow; err != nil {
				t.Error(err)
			}
			c.wantExit(0)
			wantLastWord(t, log, "Completed", "TERM")
		})
	}
}

// TestConfinedExit: an app that ends by itself, not as PID 1.
func TestConfinedExit(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		command []string
		want    int
	}{
		{[]string{"/app", "exit", "3"}, 3},
		{[]string{"/app", "die", "9"}, 137},
		{[]string{"/missing"}, 127},
	} {
		t.Run(fmt.Sprint(tt.want), func(t *testing.T) {
			t.Parallel()
			if r := run(t, spec{scratchImage, []string{"--pid=host", "--read-only", "--user=65534"}, tt.command}); r.code != tt.want {
				t.Errorf("docker run ended with %d, want %d", r.code, tt.want)
			}
		})
	}
}

// TestPidsLimit: an app that has filled its pids limit can't keep usher from doing all it is there for. The Go runtime would die for want
// of one more thread.
func TestPidsLimit(t *testing.T) {
	t.Parallel()
	const bomb = `trap 'exit 3' TERM; trap : USR1; sleep 1000 & (while :; do sleep 1000 & done); echo full; while :; do wait; done`
	limited := func(t *testing.T, flags ...string) (c *container, log string) {
		t.Helper()
		log, mount := terminationLog(t)
		c = start(t, spec{image: redisImage, flags: append([]string{"--pids-limit=40", mount, "--entrypoint=/usher"}, flags...),
			command: []string{"-v", "--", "sh", "-c", bomb}})
		c.wantLog("full\n")
		return c, log
	}
	t.Run("with endpoints", func(t *testing.T) {
		t.Parallel()
		c, log := limited(t, "-e=USHER_TERM_DELAY=1s", "-e=USHER_READY_CHECK=tcp://127.0.0.1:8086", "-e=USHER_READY_PERIOD=100ms")
		for range 20 { // at once: each needs something of the runtime
			go request("GET", c.address(8086), "/readyz")
		}
		wantStatus(t, c.address(8086), "/readyz", 200)
		stopped := c.beginStop()
		wantStatus(t, c.address(8086), "/readyz", 503)
		stopped()
		c.wantExit(3)
		wantLastWord(t, log, "Error", "TERM")
	})
	t.Run("plain", func(t *testing.T) {
		t.Parallel()
		c, log := limited(t, "-e=USHER_HEALTH_ADDR=", "-e=USHER_READY_CHECK=", "-e=USHER_TERM_DELAY=0s")
		pid := c.inspect().State.Pid
		for range 20_000 { // a line of the log each: enough for a few collections
			if err := syscall.Kill(pid, syscall.SIGUSR1); err != nil {
				t.Fatal(err)
			}
		}
		c.stop()
		c.wantExit(3)
		wantLastWord(t, log, "Error", "TERM")
	})
}
