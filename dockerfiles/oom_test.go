package dockerfiles

import (
	"strings"
	"testing"
)

// limited is a container whose memory ends soon.
var limited = []string{"--memory=32m", "--memory-swap=32m"}

// TestOutOfMemory: what the engine calls exit code 137 has a name, whichever version of cgroups it uses. tail keeps the last line of what it
// reads, and there is none in /dev/zero.
func TestOutOfMemory(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		command []string
		flags   []string
		code    int
		words   []string
	}{
		{"the app", []string{"tail", "/dev/zero"}, nil, 137,
			[]string{"OOMKilled: killed by SIGKILL (exit code 137); out of memory: tail (pid ", "memory limit 32Mi", "peak 32Mi"}},
		{"behind a shell", []string{"sh", "-c", "sleep 0.3; tail /dev/zero; exit $?"}, nil, 137, []string{"OOMKilled: exit code 137; out of memory: ", " killed, memory limit 32Mi"}},
		{"a child", []string{"sh", "-c", "sleep 0.3; tail /dev/zero; exit 3"}, nil, 3, []string{"Error: exit code 3; out of memory: ", " killed, memory limit 32Mi"}},
		{"an orphan", []string{"sh", "-c", "sleep 0.3; (setsid tail /dev/zero &); sleep 2; exit 3"}, nil, 3, []string{"Error: exit code 3; out of memory: "}},
		{"the host's namespace", []string{"tail", "/dev/zero"}, []string{"--cgroupns=host"}, 137, []string{"OOMKilled: ", "memory limit 32Mi"}},
		{"a namespace", []string{"tail", "/dev/zero"}, []string{"--cgroupns=private"}, 137, []string{"OOMKilled: ", "memory limit 32Mi"}},
		{"another user", []string{"tail", "/dev/zero"}, []string{"--user=65534"}, 137, []string{"OOMKilled: ", "memory limit 32Mi"}},
		// Not of it, although it has happened to be at the limit: a file in the cache.
		{"killed for another reason", []string{"sh", "-c", "dd if=/dev/zero of=/x bs=1M count=64 2>/dev/null; kill -9 $$"}, nil, 137, []string{"Signaled: killed by SIGKILL (exit code 137); uptime"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			log, mount := terminationLog(t)
			r := run(t, spec{nginxImage, append(append([]string{mount, "-e=USHER_HEALTH_ADDR=", "-e=USHER_READY_CHECK="}, limited...), tt.flags...), tt.command})
			if r.code != tt.code {
				t.Errorf("docker run ended with %d, want %d", r.code, tt.code)
			}
			wantLastWord(t, log, tt.words...)
			if got := strings.Contains(r.stderr, "usher: out of memory: "); got != !strings.HasPrefix(tt.words[0], "Signaled") {
				t.Errorf("stderr is %q", r.stderr)
			}
		})
	}
}

// TestOutOfMemoryWhileTheAppLives: usher knows of a child of the app, which reaps it itself, no later than it is asked.
func TestOutOfMemoryWhileTheAppLives(t *testing.T) {
	t.Parallel()
	log, mount := terminationLog(t)
	c := start(t, spec{nginxImage, append([]string{mount, "-e=USHER_READY_CHECK=", "-e=USHER_TERM_DELAY=0s"}, limited...),
		[]string{"sh", "-c", "trap 'exit 3' QUIT; sleep 0.3; tail /dev/zero; echo on it goes; while :; do sleep 0.1; done"}})
	c.wantLog("on it goes")
	status, body := request("GET", c.address(8086), "/livez?verbose")
	if status != 200 || !strings.Contains(body, "[+]app ok: out of memory: ") || !strings.Contains(body, " killed, memory limit 32Mi") {
		t.Errorf("/livez?verbose: %d %s", status, body)
	}
	c.wantLog("usher: out of memory: ")
	c.stop()
	c.wantExit(3)
	wantLastWord(t, log, "Error: exit code 3; out of memory: ")
}
