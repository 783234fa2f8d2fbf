package dockerfiles

import (
	"strings"
	"testing"
)

// TestExitCodes: docker run's exit code is the app's, or says whose mistake it was. Docker itself has 125, 126 and 127 too,
// so where usher is the one to end with them its own line has to be on stderr.
func TestExitCodes(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		flags   []string
		command []string
		want    int
		says    string // on stderr; nothing at all if empty
	}{
		{"0", nil, []string{"/app", "exit", "0"}, 0, ""},
		{"3", nil, []string{"/app", "exit", "3"}, 3, ""},
		{"255", nil, []string{"/app", "exit", "255"}, 255, ""},
		{"killed", nil, []string{"/app", "die", "9"}, 137, "SIGKILL"},
		{"terminated", nil, []string{"/app", "die", "15"}, 143, "SIGTERM"},
		{"not there", nil, []string{"/missing"}, 127, "/missing"},
		{"not in PATH", nil, []string{"missing"}, 127, "missing"},
		{"a directory", nil, []string{"/etc"}, 126, "/etc"},
		{"not executable", nil, []string{"/etc/hosts"}, 126, "/etc/hosts"},
		{"no command", []string{"--entrypoint=/usher"}, nil, 125, "usher"},
		{"bad variable", []string{"-e=USHER_TERM_DELAY=tomorrow"}, []string{"/app", "exit", "3"}, 125, "tomorrow"},
		{"bad flag", []string{"--entrypoint=/usher"}, []string{"--term-dalay=1s", "/app", "exit", "3"}, 125, "term-dalay"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := run(t, spec{scratchImage, tt.flags, tt.command})
			if r.code != tt.want {
				t.Errorf("docker run ended with %d, want %d", r.code, tt.want)
			}
			if r.stdout != "" {
				t.Errorf("stdout is %q, and the app wrote nothing", r.stdout)
			}
			if tt.says == "" && r.stderr != "" {
				t.Errorf("stderr is %q, and there is no news", r.stderr)
			}
			if tt.says != "" && (!strings.HasPrefix(r.stderr, "usher: ") || !strings.Contains(r.stderr, tt.says)) {
				t.Errorf("stderr is %q, want usher's line about %q", r.stderr, tt.says)
			}
		})
	}
}

// TestEnvironment: what the image says to usher is not said to the app.
func TestEnvironment(t *testing.T) {
	t.Parallel()
	r := run(t, spec{nginxImage, []string{"-e=GREETING=hello"}, []string{"env"}})
	if r.code != 0 || !strings.Contains(r.stdout, "GREETING=hello\n") || strings.Contains(r.stdout, "USHER_") {
		t.Errorf("exit code %d, environment:\n%s", r.code, r.stdout)
	}
}

// TestNoOutput: closed or unread stdout and stderr change nothing, neither for the app nor when usher has something to say.
func TestNoOutput(t *testing.T) {
	t.Parallel()
	for _, how := range []string{"closed", "broken"} {
		for _, tt := range []struct {
			command []string
			want    int
		}{
			{[]string{"/usher", "-v", "--", "/app", "exit", "3"}, 3},
			{[]string{"/usher", "-v", "--", "/missing"}, 127},
		} {
			t.Run(how+" "+tt.command[len(tt.command)-1], func(t *testing.T) {
				t.Parallel()
				r := run(t, spec{scratchImage, []string{"--entrypoint=/app"}, append([]string{how}, tt.command...)})
				if r.code != tt.want {
					t.Errorf("docker run ended with %d, want %d", r.code, tt.want)
				}
			})
		}
	}
}
