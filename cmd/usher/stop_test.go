package main_test

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// app is a shell that says what it gets; on SIGTERM it takes $0 seconds to end with 42. Such apps run in sh, which is dash on
// Debian: bash loses one in some hundred signals that come while it runs a trap.
const app = `trap 'echo got TERM; sleep $0; exit 42' TERM; trap 'echo got USR1' USR1; trap 'echo got QUIT; exit 43' QUIT
echo ready; while :; do sleep 0.01; done`

// deaf is an app that ignores SIGTERM, as PID 1 without a handler does.
const deaf = `trap '' TERM; trap 'echo got USR1' USR1; echo ready; while :; do sleep 0.01; done`

// took checks how long something took that a timer in usher decides about: not less, and not much more on a busy machine.
func took(t *testing.T, since time.Time, least time.Duration) {
	t.Helper()
	if d := time.Since(since); d < least {
		t.Errorf("it took %v, want at least %v", d, least)
	} else if d > least+patience/2 {
		t.Errorf("it took %v, want about %v", d, least)
	}
}

func TestHold(t *testing.T) {
	eachBuild(t, func(t *testing.T, b *build) {
		log := newLog(t)
		u := start(t, b, "--term-delay", "1s", "--termination-log", log, "--", "sh", "-c", app, "0")
		u.printed("ready\n")
		begin := time.Now()
		u.signal(unix.SIGTERM)
		u.logged("SIGTERM from ")
		eventually(t, func() error {
			if word := readLog(t, log); !strings.HasPrefix(word, "StopTimeout: ended from outside in the middle of a stop; uptime ") || !strings.Contains(word, ", being held back for 1s\n") {
				return fmt.Errorf("during the hold the termination log says %q", word)
			}
			return nil
		})
		u.signal(unix.SIGUSR1) // other signals pass at once
		u.printed("got USR1\n")
		if strings.Contains(u.stdout.String(), "got TERM") {
			t.Error("SIGTERM was not held back")
		}
		u.want(42)
		took(t, begin, time.Second)
		if !strings.HasSuffix(u.stdout.String(), "got USR1\ngot TERM\n") {
			t.Errorf("the app got %q", &u.stdout)
		}
		if word := readLog(t, log); !regexp.MustCompile(`^Error: exit code 42; uptime \S+; SIGTERM from [^,;]+, held back for 1(\.\d)?s, app gone \S+ after SIGTERM; peak memory \S+, CPU \S+\n$`).MatchString(word) {
			t.Errorf("termination log: %q", word)
		}
	})
}

func TestSecondSignalEndsTheHold(t *testing.T) {
	eachBuild(t, func(t *testing.T, b *build) {
		u := start(t, b, "--term-delay", "1h", "--", "sh", "-c", app, "0")
		u.printed("ready\n")
		u.signal(unix.SIGTERM)
		u.logged("held back for 1h")
		u.signal(unix.SIGTERM)
		u.want(42)
		if n := strings.Count(u.stdout.String(), "got TERM"); n != 1 {
			t.Errorf("the app got SIGTERM %d times", n)
		}
		u.logged("(second SIGTERM)")
	})
}

// During the hold the app may end on its own, or by another signal: then everything ends at once.
func TestAppEndsDuringTheHold(t *testing.T) {
	eachBuild(t, func(t *testing.T, b *build) {
		log := newLog(t)
		u := start(t, b, "--term-delay", "1h", "--termination-log", log, "--", "sh", "-c", app, "0")
		u.printed("ready\n")
		u.signal(unix.SIGTERM)
		u.logged("held back")
		u.signal(unix.SIGQUIT)
		u.want(43)
		if word := readLog(t, log); !strings.HasPrefix(word, "Error: exit code 43; ") || !strings.Contains(word, "app gone after") {
			t.Errorf("termination log: %q", word)
		}
	})
}

func TestGracePeriod(t *testing.T) {
	eachBuild(t, func(t *testing.T, b *build) {
		log := newLog(t)
		u := start(t, b, "--term-delay", "300ms", "--grace-period", "2s", "--termination-log", log, "--", "sh", "-c", "mount -t proc proc /proc; "+deaf)
		u.printed("ready\n")
		begin := time.Now()
		u.signal(unix.SIGTERM)
		u.logged("sent to the app after")
		eventually(t, func() error {
			if word := readLog(t, log); !regexp.MustCompile(`, held back for [3-9]\d\dms, app had not ended after SIGTERM\n$`).MatchString(word) {
				return fmt.Errorf("after the hold the termination log says %q", word)
			}
			return nil
		})
		u.want(137)
		took(t, begin, 1500*time.Millisecond)
		if word := readLog(t, log); !regexp.MustCompile(`^StopTimeout: killed by SIGKILL \(exit code 137\); .*held back for [3-9]\d\dms, SIGKILL after 1\.[5-9]s, app gone \S+ after SIGTERM; still there: sh \(pid \d+, state [RSD](, in \w+)?\)`).MatchString(word) {
			t.Errorf("termination log: %q", word)
		}
	})
}

// Without a grace period usher never kills.
func TestNoGracePeriodNoKill(t *testing.T) {
	u := start(t, &made, "--", "sh", "-c", deaf)
	u.printed("ready\n")
	for i := range 3 {
		u.signal(unix.SIGTERM)
		u.signal(unix.SIGUSR1)
		eventually(t, func() error {
			if n := strings.Count(u.stdout.String(), "USR1"); n != i+1 {
				return fmt.Errorf("the app is gone or deaf: %d", n)
			}
			return nil
		})
	}
	u.signal(unix.SIGHUP)
	u.want(129)
}

// The stop signal is judged as it arrives, the app gets what it is rewritten to.
func TestRewrittenStop(t *testing.T) {
	u := start(t, &made, "--rewrite", "TERM:QUIT", "--term-delay", "100ms", "--", "sh", "-c", app, "0")
	u.printed("ready\n")
	u.signal(unix.SIGTERM)
	u.want(43)
	u.logged("app gone")
	if out := u.stderr.String(); !strings.Contains(out, "after SIGQUIT") {
		t.Errorf("log: %q", out)
	}

	u = start(t, &made, "--rewrite", "TERM:0", "--term-delay", "1h", "--", "sh", "-c", app, "0")
	u.printed("ready\n")
	u.signal(unix.SIGTERM)
	u.signal(unix.SIGUSR1)
	u.printed("got USR1\n")
	u.signal(unix.SIGQUIT)
	u.want(43)
	if out := u.stderr.String(); strings.Contains(out, "SIGTERM") {
		t.Errorf("a swallowed stop signal began a stop: %q", out)
	}
}

// freePort is an address nobody listens at.
func freePort(t *testing.T) string {
	t.Helper()
	l := listen(t)
	defer l.Close()
	return l.Addr().String()
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// get waits until an endpoint answers with a status and returns the body.
func get(t *testing.T, url string, status int) string {
	t.Helper()
	var body string
	eventually(t, func() error {
		res, err := (&http.Client{Timeout: 5 * time.Second}).Get(url)
		if err != nil {
			return err
		}
		defer res.Body.Close()
		b := new(strings.Builder)
		if err := res.Write(b); err != nil {
			return err
		}
		_, body, _ = strings.Cut(b.String(), "\r\n\r\n")
		if res.StatusCode != status {
			return fmt.Errorf("%s: status %d, want %d: %s", url, res.StatusCode, status, body)
		}
		return nil
	})
	return body
}

// serving is an app with a port of its own, to be asked whether it is ready.
func serving(t *testing.T) (args []string, readyAddr string) {
	addr := freePort(t)
	_, port, _ := net.SplitHostPort(addr)
	if _, err := os.Stat("/usr/bin/perl"); err != nil {
		t.Skip("needs perl for a server")
	}
	return []string{"perl", "-e", script("serve.pl"), port}, addr
}

func TestEndpointsThroughALife(t *testing.T) {
	eachBuild(t, func(t *testing.T, b *build) {
		server, ready := serving(t)
		health := freePort(t)
		u := start(t, b, append([]string{"--health-addr", health, "--ready-check", "tcp://" + ready, "--ready-period", "50ms", "--term-delay", "1s", "--"}, server...)...)
		base := "http://" + health
		for _, path := range []string{"/livez", "/healthz", "/readyz"} {
			if body := get(t, base+path, 200); body != "ok" {
				t.Errorf("%s: %q", path, body)
			}
		}
		if body := get(t, base+"/readyz?verbose", 200); body != "[+]app ok\n[+]ready-1 ok\n[+]shutdown ok\nreadyz check passed\n" {
			t.Errorf("verbose: %q", body)
		}
		u.signal(unix.SIGTERM)
		body := get(t, base+"/readyz", 503)
		if !strings.HasPrefix(body, "[+]app ok\n[+]ready-1 ok\n[-]shutdown failed: SIGTERM received ") || !strings.HasSuffix(body, "readyz check failed\n") {
			t.Errorf("during the hold: %q", body)
		}
		if body := get(t, base+"/livez", 200); body != "ok" {
			t.Errorf("livez during the hold: %q", body)
		}
		if c, err := net.Dial("tcp", ready); err != nil {
			t.Errorf("the app does not serve during the hold: %v", err)
		} else {
			c.Close()
		}
		u.want(42)
		if _, err := net.Dial("tcp", health); err == nil {
			t.Error("the endpoints outlived usher")
		}
	})
}

// With --ready-while-draining, /readyz is as the ready checks have it until the app gets its signal, and fails from there on.
func TestReadyWhileDraining(t *testing.T) {
	eachBuild(t, func(t *testing.T, b *build) {
		health, ready := freePort(t), filepath.Join(t.TempDir(), "ready")
		if err := os.WriteFile(ready, nil, 0o644); err != nil {
			t.Fatal(err)
		}
		u := start(t, b, "--health-addr", health, "--ready-check", "file:"+ready, "--ready-period", "20ms", "--ready-failure-threshold", "1",
			"--ready-while-draining", "--term-delay", "1h", "--", "sh", "-c", deaf)
		u.printed("ready\n")
		readyz := "http://" + health + "/readyz"
		get(t, readyz, 200)
		u.signal(unix.SIGTERM)
		u.logged("held back for 1h")
		if body := get(t, readyz+"?verbose", 200); body != "[+]app ok\n[+]ready-1 ok\n[+]shutdown ok\nreadyz check passed\n" {
			t.Errorf("during the hold: %q", body)
		}
		if err := os.Remove(ready); err != nil { // the checks are asked as ever
			t.Fatal(err)
		}
		get(t, readyz, 503)
		if err := os.WriteFile(ready, nil, 0o644); err != nil {
			t.Fatal(err)
		}
		get(t, readyz, 200)
		u.signal(unix.SIGTERM) // the end of the hold
		if body := get(t, readyz, 503); !strings.HasPrefix(body, "[+]app ok\n[+]ready-1 ok\n[-]shutdown failed: SIGTERM received ") {
			t.Errorf("when the app was told: %q", body)
		}
		u.signal(unix.SIGKILL)
		u.wait()
	})
}

// Where the app is not ready nobody sends it anything, and there is nothing to hold for.
func TestNoHoldWhereNotReady(t *testing.T) {
	u := start(t, &made, "--term-delay", "1h", "--ready-check", "tcp://"+freePort(t), "--", "sh", "-c", app, "0")
	u.printed("ready\n")
	u.signal(unix.SIGTERM)
	u.want(42)
	u.logged("the app was not ready")
}

func TestProbe(t *testing.T) {
	server, ready := serving(t)
	health := freePort(t)
	u := start(t, &made, append([]string{"--health-addr", health, "--ready-check", "tcp://" + ready, "--ready-period", "50ms", "--term-delay", "1h", "--"}, server...)...)
	probe := func(what string) (int, string) {
		p := commandHere(t, &made, "--probe", what)
		p.cmd.Env = append(p.cmd.Env, "USHER_HEALTH_ADDR="+health)
		code := p.begin().wait()
		return code, p.stdout.String()
	}
	get(t, "http://"+health+"/readyz", 200)
	for _, what := range []string{"livez", "readyz", "healthz", "tcp://" + ready, "http://" + health + "/livez"} {
		if code, out := probe(what); code != 0 {
			t.Errorf("--probe %s: %d, %q", what, code, out)
		}
	}
	u.signal(unix.SIGTERM)
	get(t, "http://"+health+"/readyz", 503)
	if code, out := probe("readyz"); code != 1 || !strings.Contains(out, "shutdown failed: SIGTERM received") {
		t.Errorf("--probe readyz during the hold: %d, %q", code, out)
	}
	if code, out := probe("livez"); code != 0 {
		t.Errorf("--probe livez during the hold: %d, %q", code, out)
	}
	if code, out := probe("tcp://" + freePort(t)); code != 1 || !strings.Contains(out, "connection refused") {
		t.Errorf("--probe of nobody: %d, %q", code, out)
	}
	u.signal(unix.SIGTERM)
	u.want(42)
}
