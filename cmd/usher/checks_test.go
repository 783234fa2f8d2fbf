package main_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"
)

// fast makes every check's period and failures short.
func fast(args ...string) []string {
	flags := []string{"--startup-period", "20ms", "--live-period", "20ms", "--ready-period", "20ms", "--startup-failure-threshold", "100000"}
	return append(flags, args...)
}

func touch(t *testing.T, path string) {
	t.Helper()
	if err := os.WriteFile(path, nil, 0o644); err != nil {
		t.Fatal(err)
	}
}

// wantBody waits until an endpoint answers with a status and a body that has all the parts.
func wantBody(t *testing.T, url string, status int, parts ...string) {
	t.Helper()
	eventually(t, func() error {
		body := get(t, url, status)
		for _, part := range parts {
			if !strings.Contains(body, part) {
				return fmt.Errorf("%s: %q, want %q in it", url, body, part)
			}
		}
		return nil
	})
}

func TestChecksThroughALife(t *testing.T) {
	eachBuild(t, func(t *testing.T, b *build) {
		dir, health := t.TempDir(), freePort(t)
		started, alive, ready := filepath.Join(dir, "started"), filepath.Join(dir, "alive"), filepath.Join(dir, "ready")
		u := start(t, b, fast("--health-addr", health, "--startup-check", "file:"+started, "--live-check", "file:"+alive, "--ready-check", "file:"+ready,
			"--term-delay", "1h", "--", "sh", "-c", app, "0")...)
		base := "http://" + health
		// Startup gates the others: nothing else is asked, the app is taken for live and not for ready.
		wantBody(t, base+"/startupz", 503, "[+]app ok\n[-]startup-1 failed: no such file or directory", "startupz check failed\n")
		touch(t, ready)
		wantBody(t, base+"/readyz/startup-1", 503, " times in a row, for ")
		wantBody(t, base+"/readyz", 503, "[-]startup-1 failed: no such file or directory (", "[-]ready-1 failed: not yet checked\n")
		if body := get(t, base+"/livez?verbose", 200); body != "[+]app ok\n[+]live-1 ok\nlivez check passed\n" {
			t.Errorf("livez during the startup: %q", body)
		}
		touch(t, alive)
		touch(t, started)
		wantBody(t, base+"/readyz?verbose", 200, "[+]app ok\n[+]startup-1 ok\n[+]ready-1 ok\n[+]shutdown ok\n")
		os.Remove(started) // asked no more
		// Each for itself.
		os.Remove(alive)
		wantBody(t, base+"/livez", 503, "[-]live-1 failed: no such file or directory (", " times in a row, for ")
		wantBody(t, base+"/healthz", 503, "[-]live-1")
		wantBody(t, base+"/livez/live-1", 503, "[-]live-1")
		wantBody(t, base+"/livez/app", 200, "ok")
		wantBody(t, base+"/livez/ready-1", 404)
		wantBody(t, base+"/livez?exclude=live-1", 200, "ok")
		wantBody(t, base+"/readyz", 200, "ok")
		wantBody(t, base+"/startupz", 200, "ok")
		// Nothing to hold for.
		u.signal(unix.SIGTERM)
		u.want(42)
		u.logged("its live check is failing")
	})
}

// A startup check that has used up its failure threshold is what Kubernetes restarts an app for: /livez says so. It may still come.
func TestStartupUsedUp(t *testing.T) {
	started, health := filepath.Join(t.TempDir(), "started"), freePort(t)
	u := start(t, &made, "--health-addr", health, "--startup-check", "file:"+started, "--startup-period", "20ms", "--startup-failure-threshold", "3", "--", "sleep", "1000")
	wantBody(t, "http://"+health+"/livez", 503, "[+]app ok\n[-]startup-1 failed: no such file or directory (")
	touch(t, started)
	wantBody(t, "http://"+health+"/livez?verbose", 200, "[+]app ok\nlivez check passed\n")
	wantBody(t, "http://"+health+"/startupz", 200)
	u.signal(unix.SIGTERM)
	u.want(143)
}

// While a stop is in progress, liveness is not asked for any more, and readiness is.
func TestChecksDuringAStop(t *testing.T) {
	dir, health := t.TempDir(), freePort(t)
	alive, ready := filepath.Join(dir, "alive"), filepath.Join(dir, "ready")
	touch(t, alive)
	touch(t, ready)
	u := start(t, &made, fast("--health-addr", health, "--live-check", "file:"+alive, "--ready-check", "file:"+ready, "--term-delay", "1h", "--", "sh", "-c", app, "0")...)
	wantBody(t, "http://"+health+"/readyz", 200)
	u.signal(unix.SIGTERM)
	wantBody(t, "http://"+health+"/readyz", 503, "[+]ready-1 ok\n[-]shutdown failed: SIGTERM received ")
	os.Remove(alive)
	os.Remove(ready)
	wantBody(t, "http://"+health+"/readyz/ready-1", 503, "no such file")
	wantBody(t, "http://"+health+"/livez/live-1", 200)
	u.signal(unix.SIGTERM)
	u.want(42)
}

// However many ask the endpoints, the app is asked once a period; and with the headers that were asked for.
func TestChecksAreCached(t *testing.T) {
	var asked atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		if r.Host != "app.example" || r.Header.Get("Authorization") != "Bearer x: y" {
			w.WriteHeader(401)
		}
	}))
	defer server.Close()
	health := freePort(t)
	u := command(t, &made, "--health-addr", health, "--ready-check", server.URL+"/x", "--live-check", server.URL+"/x", "--live-failure-threshold", "1", "--", "sleep", "1000")
	u.cmd.Env = append(u.cmd.Env, "USHER_CHECK_HEADER=Host: app.example\nAuthorization: Bearer x: y")
	u.begin()
	for range 100 {
		wantBody(t, "http://"+health+"/readyz", 200)
		wantBody(t, "http://"+health+"/livez", 200)
	}
	if n := asked.Load(); n > 4 { // two at once, and two more if this takes longer than half a period
		t.Errorf("the app was asked %d times for 200 requests", n)
	}
	u.signal(unix.SIGTERM)
	u.want(143)
	p := commandHere(t, &made, "--probe", server.URL, "--check-header", "Host: app.example").begin()
	if code := p.wait(); code != 1 || !strings.Contains(p.stdout.String(), "HTTP 401") {
		t.Errorf("--probe: %d, %q", code, &p.stdout)
	}
}

// A socket in the file system, of a real server.
func TestUnixCheck(t *testing.T) {
	redis, err := exec.LookPath("redis-server")
	if err != nil {
		t.Skip("needs redis-server")
	}
	dir, health := t.TempDir(), freePort(t)
	socket := filepath.Join(dir, "redis.sock")
	u := start(t, &made, fast("--health-addr", health, "--ready-check", "unix://"+socket, "--", redis, "--port", "0", "--unixsocket", socket, "--save", "", "--dir", dir)...)
	wantBody(t, "http://"+health+"/readyz", 200)
	if p := commandHere(t, &made, "--probe", "unix://"+socket).begin(); p.wait() != 0 {
		t.Errorf("--probe: %q", &p.stdout)
	}
	u.signal(unix.SIGTERM)
	u.want(0)
	if p := commandHere(t, &made, "--probe", "unix://"+socket).begin(); p.wait() != 1 {
		t.Errorf("--probe: %q", &p.stdout)
	}
}

func TestCheckMistakes(t *testing.T) {
	u := start(t, &made, "--live-check", "file:x", "--startup-check", "nonsense", "--live-success-threshold", "2", "--startup-period", "0s", "--check-header", "X", "--", "echo", "started")
	u.want(125)
	for _, says := range []string{`"x" is not an absolute path`, "must begin with", "--live-success-threshold 2: must be 1", "--startup-period 0s", `check header "X": want NAME: VALUE`} {
		if !strings.Contains(u.stderr.String(), says) {
			t.Errorf("%q is not in:\n%s", says, &u.stderr)
		}
	}
	if u.stdout.String() != "" {
		t.Error("something was started")
	}
}

// Several addresses, a socket in the file system among them, which goes with usher; --probe asks the first, and says what fails.
func TestSeveralAddresses(t *testing.T) {
	eachBuild(t, func(t *testing.T, b *build) {
		socket, one, two := filepath.Join(t.TempDir(), "health.sock"), freePort(t), freePort(t)
		u := command(t, b, "--term-delay", "1h", "--", "sh", "-c", app, "0")
		u.cmd.Env = append(u.cmd.Env, "USHER_HEALTH_ADDR=unix:"+socket+"\n"+one+"\n"+two)
		u.begin()
		wantBody(t, "http://"+one+"/readyz", 200)
		wantBody(t, "http://"+two+"/livez", 200)
		probe := func(code int, says string) {
			t.Helper()
			p := commandHere(t, b, "--probe", "readyz")
			p.cmd.Env = append(p.cmd.Env, "USHER_HEALTH_ADDR=unix:"+socket+"\n"+one)
			if got := p.begin().wait(); got != code || !strings.HasPrefix(p.stdout.String(), says) {
				t.Errorf("%d %q, want %d %q", got, &p.stdout, code, says)
			}
		}
		probe(0, "")
		u.printed("ready\n")
		u.signal(unix.SIGTERM)
		wantBody(t, "http://"+one+"/readyz", 503)
		probe(1, "readyz: shutdown failed: SIGTERM received ")
		u.signal(unix.SIGTERM)
		u.want(42)
		if _, err := os.Stat(socket); !os.IsNotExist(err) {
			t.Errorf("the socket is left behind: %v", err)
		}
		probe(1, "readyz: no such file or directory")
	})
	u := start(t, &made, "--health-addr", "unix:/no/such/directory/x", "--health-addr", "", "--", "echo", "started")
	u.want(125)
	if out := u.stderr.String(); u.stdout.String() != "" || !strings.Contains(out, `cannot listen on "unix:/no/such/directory/x": bind: no such file or directory`) {
		t.Errorf("%q", out)
	}
}
