package main_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
)

// A check that is a command: its last line is the reason; at the timeout it goes with all of its group; none is left as a zombie.
func TestExecCheck(t *testing.T) {
	eachBuild(t, func(t *testing.T, b *build) {
		dir, addr := t.TempDir(), freePort(t)
		state := filepath.Join(dir, "state")
		touch(t, state)
		u := command(t, b, "--health-addr", addr, "--ready-check", `exec:sh -c '. "$STATE"'`, "--ready-period", "30ms", "--ready-timeout", "300ms",
			"--ready-failure-threshold", "2", "--ready-check", "exec:/no/such/command", "--", "sh", "-c", app, "0")
		u.cmd.Env = append(u.cmd.Env, "STATE="+state) // as the app sees it
		u.begin()
		base := "http://" + addr
		say := func(script string) {
			t.Helper()
			if err := os.WriteFile(state+".new", []byte(script), 0o644); err != nil {
				t.Fatal(err)
			}
			if err := os.Rename(state+".new", state); err != nil {
				t.Fatal(err)
			}
		}
		wantBody(t, base+"/readyz?exclude=ready-2", 200)
		wantBody(t, base+"/readyz/ready-2", 503, `cannot start "/no/such/command": no such file`)
		say("echo first; echo; echo 'the last' >&2; exit 7")
		wantBody(t, base+"/readyz/ready-1", 503, "[-]ready-1 failed: exit code 7: the last (")
		say("kill -9 $$")
		wantBody(t, base+"/readyz/ready-1", 503, "killed by SIGKILL (")
		say("echo waiting; sleep 1000 & sleep 1000")
		wantBody(t, base+"/readyz/ready-1", 503, "timeout after 300ms: still running: waiting (")
		say("yes | head -c 1000000; echo; echo done; exit 1")
		wantBody(t, base+"/readyz/ready-1", 503, "exit code 1: done (")
		say("exit 0")
		wantBody(t, base+"/readyz/ready-1", 200)
		eventually(t, func() error {
			for _, p := range descendants(t, u.cmd.Process.Pid) {
				if strings.Contains(p, ") Z ") || strings.Contains(p, "(sleep) S") && strings.Contains(p, "1000") {
					return fmt.Errorf("left behind: %s", p)
				}
			}
			return nil
		})
		u.signal(unix.SIGTERM)
		u.want(42)
	})
}

// descendants are the /proc/PID/stat of a process's children's children and so on, as this process sees them.
func descendants(t *testing.T, pid int) (stats []string) {
	kids, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if _, gone := os.Stat(fmt.Sprint("/proc/", pid)); gone != nil {
		return nil
	}
	if err != nil {
		t.Skipf("cannot see processes: %v", err)
	}
	for _, kid := range strings.Fields(string(kids)) {
		b, _ := os.ReadFile("/proc/" + kid + "/stat")
		stats = append(stats, string(b))
		var n int
		fmt.Sscan(kid, &n)
		stats = append(stats, descendants(t, n)...)
	}
	return stats
}

// What speaks TLS or HTTP/2 goes through usher-check.
func TestChecksThroughUsherCheck(t *testing.T) {
	status := atomic.Int32{}
	status.Store(200)
	web := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Key") != "secret" {
			w.WriteHeader(401)
		}
		w.WriteHeader(int(status.Load()))
		io.WriteString(w, "ok")
	}))
	defer web.Close()
	l := listen(t)
	services := health.NewServer()
	server := grpc.NewServer()
	healthpb.RegisterHealthServer(server, services)
	go server.Serve(l)
	defer server.Stop()
	addr := freePort(t)
	u := start(t, &made, "--health-addr", addr, "--check-header", "X-Key: secret", "--ready-period", "50ms", "--ready-timeout", "5s", "--ready-failure-threshold", "1",
		"--ready-check", web.URL, "--ready-check", "grpc://"+l.Addr().String()+"/app", "--", "sleep", "1000")
	base := "http://" + addr
	wantBody(t, base+"/readyz/ready-1", 200)
	wantBody(t, base+"/readyz/ready-2", 503, "[-]ready-2 failed: unknown service \"app\"")
	services.SetServingStatus("app", healthpb.HealthCheckResponse_SERVING)
	wantBody(t, base+"/readyz", 200)
	status.Store(503)
	wantBody(t, base+"/readyz", 503, "[-]ready-1 failed: HTTP 503 Service Unavailable")
	probe := func(args ...string) (int, string) {
		p := commandHere(t, &made, args...).begin()
		return p.wait(), p.stdout.String()
	}
	if code, out := probe("--check-header", "X-Key: secret", "--probe", web.URL); code != 1 || !strings.Contains(out, "HTTP 503 Service Unavailable") {
		t.Errorf("%d %q", code, out)
	}
	if code, out := probe("--probe", "grpc://"+l.Addr().String()); code != 0 {
		t.Errorf("%d %q", code, out)
	}
	if code, out := probe("--probe", "exec:sh -c 'echo why; exit 3'"); code != 1 || !strings.HasPrefix(out, "why\nexec:sh ") || !strings.HasSuffix(out, ": exit code 3\n") {
		t.Errorf("%d %q", code, out)
	}
	if code, out := probe("--probe", "exec:no-such-command"); code != 1 || !strings.Contains(out, "no such file or directory") {
		t.Errorf("%d %q", code, out)
	}
	u.signal(unix.SIGTERM)
	u.want(143)
	// What the app depends on may speak them as well.
	status.Store(200)
	u = start(t, &made, "--check-header", "X-Key: secret", "--wait-for", web.URL, "--wait-for", "grpc://"+l.Addr().String(), "--wait-for", "exec:true", "--wait-timeout", "20s", "--", "echo", "up")
	u.want(0)
	u.printed("up\n")
}

// Without usher-check such a check is a mistake, found at the start and reported with the others.
func TestUsherCheckIsMissing(t *testing.T) {
	alone := build{"alone", filepath.Join(t.TempDir(), "usher"), made.complete}
	if err := os.Link(made.path, alone.path); err != nil {
		t.Fatal(err)
	}
	u := start(t, &alone, "--ready-check", "https://x", "--live-check", "grpc://x:1", "--term-delay", "-1s", "--ready-check", "tcp://x:1", "--", "echo", "started")
	u.want(125)
	for _, says := range []string{`check "https://x" needs `, `check "grpc://x:1" needs `, "usher-check", "no such file", "--term-delay"} {
		if !strings.Contains(u.stderr.String(), says) {
			t.Errorf("%q is not in\n%s", says, &u.stderr)
		}
	}
	if u.stdout.String() != "" {
		t.Error("something was started")
	}
}

// A command that --probe runs has its time, and is killed with all that it has started; it does not outlive usher either, which is what an
// orchestrator kills whose patience is over.
func TestProbeTimeout(t *testing.T) {
	eachBuild(t, func(t *testing.T, b *build) {
		alive := filepath.Join(t.TempDir(), "alive")
		if err := unix.Mkfifo(alive, 0o600); err != nil {
			t.Fatal(err)
		}
		hang := "exec:sh -c 'exec 3>" + alive + "; echo asking; sleep 1000 & wait'" // both hold the fifo's other end
		held := func() *os.File {
			f, err := os.OpenFile(alive, os.O_RDONLY, 0)
			if err != nil {
				t.Fatal(err)
			}
			f.SetReadDeadline(time.Now().Add(patience))
			t.Cleanup(func() { f.Close() })
			return f
		}
		begin := time.Now()
		p := commandHere(t, b, "--probe", hang, "--ready-timeout", "300ms").begin()
		f := held()
		if code, want := p.wait(), ": timeout after 300ms: still running\n"; code != 1 || !strings.HasPrefix(p.stdout.String(), "asking\nexec:") || !strings.HasSuffix(p.stdout.String(), want) {
			t.Errorf("%d %q, want %q", code, &p.stdout, want)
		}
		took(t, begin, 300*time.Millisecond)
		if _, err := io.ReadAll(f); err != nil {
			t.Errorf("something is left: %v", err)
		}

		p = commandHere(t, b, "--probe", "exec:sh -c 'exec 3>"+alive+"; echo asking; exec sleep 1000'", "--ready-timeout", "1h").begin()
		f = held()
		p.printed("asking\n")
		p.cmd.Process.Kill()
		p.wait()
		if _, err := io.ReadAll(f); err != nil {
			t.Errorf("the command has outlived usher: %v", err)
		}
	})
	start(t, &made, "--probe", "exec:true", "--ready-timeout", "0s").want(125)
}
