package dockerfiles

import (
	"strings"
	"testing"
	"time"
)

// TestQuiet: a container's seccomp profile and capabilities let usher see the connections there, whoever it is.
func TestQuiet(t *testing.T) {
	t.Parallel()
	for name, flags := range map[string][]string{
		"plain":    nil,
		"hardened": {"--read-only", "--user=65534", "--cap-drop=ALL", "--security-opt=no-new-privileges", "--pids-limit=100", "--memory=64m"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := serving(t, append([]string{"-e=USHER_TERM_DELAY=8s", "-e=USHER_QUIET_PERIOD=1s"}, flags...), "/app", "serve", "--term", "drain")
			app := c.address(8080)
			wantStatus(t, app, "/", 200)
			end := c.beginStop()
			for range 6 { // on a connection each
				time.Sleep(300 * time.Millisecond)
				if status, body := request("GET", app, "/"); status != 200 {
					t.Errorf("during the hold: %d %q", status, body)
				}
			}
			if took := end(); took < 2700*time.Millisecond || took > 7500*time.Millisecond {
				t.Errorf("the stop took %v", took)
			}
			c.wantExit(0)
			c.wantLog("quiet for 1s, after ")
			if log := c.logs(); strings.Contains(log, "cannot") || strings.Contains(log, "/proc") {
				t.Errorf("log: %s", log)
			}
		})
	}
}
