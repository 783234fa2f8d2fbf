package dockerfiles

import (
	"os"
	"testing"
	"time"
)

// TestTerminationLog: what kubelet would read from the file it has mounted, once the container has ended.
func TestTerminationLog(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		command []string
		code    int
		words   []string
	}{
		{"completed", []string{"/app", "exit", "0"}, 0, []string{"Completed"}},
		{"error", []string{"/app", "exit", "3"}, 3, []string{"Error", "3"}},
		{"signaled", []string{"/app", "die", "9"}, 137, []string{"Signaled", "137", "KILL"}},
		{"not started", []string{"/missing"}, 127, []string{"StartError", "127", "/missing"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			log, mount := terminationLog(t)
			if r := run(t, spec{scratchImage, []string{mount}, tt.command}); r.code != tt.code {
				t.Errorf("docker run ended with %d, want %d", r.code, tt.code)
			}
			wantLastWord(t, log, tt.words...)
		})
	}
}

// TestKilledInHold: a SIGKILL in the middle of a stop leaves no time for a word, so that it has been said before.
func TestKilledInHold(t *testing.T) {
	t.Parallel()
	log, mount := terminationLog(t)
	c := serving(t, []string{mount, "-e=USHER_TERM_DELAY=1h"})
	if content, err := os.ReadFile(log); err != nil || len(content) > 0 {
		t.Errorf("the termination log is %q (%v) before anything has happened", content, err)
	}
	c.kill("TERM")
	wantStatus(t, c.address(8086), "/readyz", 503)
	c.kill("KILL")
	c.wantExit(137)
	wantLastWord(t, log, "StopTimeout: ended from outside in the middle of a stop", "SIGTERM")
}

// TestTerminationLogUnwritable: the log is a service, not a condition.
func TestTerminationLogUnwritable(t *testing.T) {
	t.Parallel()
	_, mount := terminationLog(t)
	c := serving(t, []string{mount + ":ro", "-e=USHER_TERM_DELAY=1s"})
	if took := c.stop(); took < time.Second {
		t.Errorf("docker stop took %v, want the hold", took)
	}
	c.wantExit(143)
}
