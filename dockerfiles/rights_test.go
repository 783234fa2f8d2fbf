package dockerfiles

import (
	"strings"
	"testing"
)

// TestRights: under usher the app may do exactly what it may without, whatever the container may do; it itself, on all threads, may do next to
// nothing. Groups that were added for the container are the app's, also as another user.
func TestRights(t *testing.T) {
	t.Parallel()
	const show = "grep -E '^(Uid|Gid|Groups|Cap...|NoNewPrivs|Seccomp):' /proc/self/status"
	for _, tt := range []struct {
		name        string
		flags       []string
		usher, bare []string // further flags of usher and, for the same without it, of docker run
	}{
		{"default", []string{"--user=0"}, nil, nil},
		{"no capabilities", []string{"--user=0", "--cap-drop=ALL"}, nil, nil},
		{"no new privileges", []string{"--user=0", "--security-opt=no-new-privileges"}, nil, nil},
		{"more capabilities", []string{"--user=0", "--cap-add=SYS_ADMIN", "--cap-add=NET_ADMIN"}, nil, nil},
		{"user", []string{"--user=redis", "--group-add=2000"}, nil, nil},
		// As in Kubernetes' restricted profile.
		{"restricted", []string{"--user=65534:65534", "--cap-drop=ALL", "--security-opt=no-new-privileges", "--group-add=2000"}, []string{"--user", "65534", "--no-new-privs"}, nil},
		{"--user", []string{"--group-add=2000"}, []string{"--user", "redis"}, []string{"--user=redis"}},
		{"--user with a group", nil, []string{"--user", "redis:redis"}, []string{"--user=redis:redis"}},
		{"--user, few capabilities", []string{"--cap-drop=ALL", "--cap-add=SETUID", "--cap-add=SETGID", "--cap-add=KILL"}, []string{"--user", "65534:65534"}, []string{"--user=65534:65534"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			bare, flags := tt.flags, append([]string{"-e=USHER_HEALTH_ADDR=", "-e=USHER_READY_CHECK=", "--entrypoint=/usher"}, tt.flags...)
			if tt.bare != nil {
				bare, flags = append(bare, tt.bare...), append(flags, "--user=0")
			}
			want := run(t, spec{redisImage, append([]string{"--entrypoint=sh"}, bare...), []string{"-c", show}})
			if want.code != 0 {
				t.Fatalf("without usher: %d, %s", want.code, want.stderr)
			}
			app := show + `; if [ ! -e /dev/shm/again ]; then : > /dev/shm/again; exit 1; fi; grep -h CapEff /proc/1/task/*/status | sort -u`
			usher := append([]string{"--restart", "on-failure", "--pre-start", show, "--post-stop", "exec:" + show}, tt.usher...)
			r := run(t, spec{redisImage, flags, append(usher, "--", "sh", "-c", app)})
			if r.code != 0 {
				t.Fatalf("with usher: %d, %s", r.code, r.stderr)
			}
			own, ok := strings.CutPrefix(r.stdout, want.stdout+want.stdout)
			if !ok || own != "CapEff:\t0000000000000020\n" && own != "CapEff:\t0000000000000000\n" {
				t.Errorf("the app, twice, and usher:\n%swant of the app, each time\n%s", r.stdout, want.stdout)
			}
			for _, hook := range []string{"pre-start-1", "post-stop"} {
				var got strings.Builder
				for line := range strings.Lines(r.stderr) {
					if said, ok := strings.CutPrefix(line, hook+": "); ok {
						got.WriteString(said)
					}
				}
				if words := strings.Fields(got.String()); strings.Join(words, " ") != strings.Join(strings.Fields(want.stdout), " ") {
					t.Errorf("%s:\n%swant\n%s", hook, got.String(), want.stdout)
				}
			}
		})
	}
}
