package main_test

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"usher/examples/load"
)

// What usher is for: an app that dies at once on SIGTERM is stopped while requests go on coming in, as they do in a rolling update, and none
// fails. Under tini, the control, some have to.

// third is an app to be stopped, nothing about it changed.
type third struct {
	name string
	// prepare returns the command, after writing what it needs to dir; a page answered at once, and one that takes slowPage.
	prepare func(t *testing.T, dir, addr string) (argv []string, quick, slow string)
	// finishes is whether it ends what it is answering when it gets SIGTERM: the control can't cut that.
	finishes bool
}

const slowPage = 1300 * time.Millisecond

var thirds = []third{
	{name: "go", prepare: func(t *testing.T, dir, addr string) ([]string, string, string) {
		return []string{goServer(t), addr}, "/", "/?" + slowPage.String()
	}},
	{name: "shell form", prepare: func(t *testing.T, dir, addr string) ([]string, string, string) {
		return []string{"/bin/sh", "-c", goServer(t) + " " + addr + "; exit $?"}, "/", "/?" + slowPage.String()
	}},
	{name: "nginx", prepare: prepareNginx},
	{name: "gunicorn", prepare: prepareGunicorn, finishes: true},
	{name: "node", prepare: prepareNode},
}

// nginxNeedsRoot skips a test where PID 1 is root of a user namespace alone: nginx's workers set their groups, which is refused there.
func nginxNeedsRoot(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("nginx needs root, for the groups of its workers")
	}
}

func needs(t *testing.T, programs ...string) (path string) {
	t.Helper()
	for _, p := range programs {
		if path, err := exec.LookPath(p); err == nil {
			return path
		}
	}
	t.Skipf("needs %s", programs[0])
	return ""
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func prepareNginx(t *testing.T, dir, addr string) ([]string, string, string) {
	path := needs(t, "nginx", "/usr/sbin/nginx")
	nginxNeedsRoot(t)
	write(t, dir+"/index.html", "ok\n")
	write(t, dir+"/slow", strings.Repeat("x", 200_000)) // the first 64k at once
	write(t, dir+"/conf", fmt.Sprintf(`daemon off; user root; pid nginx.pid; error_log error.log; events { worker_connections 256; }
		http { access_log off; server { listen %s; root %s; location = /slow { limit_rate 100k; } } }`, addr, dir))
	return []string{path, "-p", dir, "-c", "conf"}, "/", "/slow"
}

func prepareGunicorn(t *testing.T, dir, addr string) ([]string, string, string) {
	path := needs(t, "gunicorn")
	write(t, dir+"/app.py", `import time
def app(environ, start):
    time.sleep(float(environ["QUERY_STRING"] or 0))
    start("200 OK", [("Content-Length", "3")])
    return [b"ok\n"]
`)
	return []string{path, "--chdir", dir, "--workers", "4", "--bind", addr, "app:app"}, "/", fmt.Sprintf("/?%g", slowPage.Seconds())
}

func prepareNode(t *testing.T, dir, addr string) ([]string, string, string) {
	path := needs(t, "node")
	host, port, _ := net.SplitHostPort(addr)
	write(t, dir+"/server.js", fmt.Sprintf(`require("http").createServer((req, res) =>
		setTimeout(() => res.end("ok\n"), Number(req.url.split("?")[1] || 0))).listen(%s, %q)`, port, host))
	return []string{path, dir + "/server.js"}, "/", fmt.Sprintf("/?%d", slowPage.Milliseconds())
}

// clients send requests as clients do through a Service: each by the rules of its own node, which learns of the end of an endpoint when it learns of
// it. Kept connections then stay open, idle, as in a pool.
type clients struct {
	wg   sync.WaitGroup
	late time.Duration // that of the last to learn

	mu    sync.Mutex
	gone  time.Time // when the endpoint was told to end
	tally load.Tally
	errs  []error // the first ones
}

// run begins to send to addr. A client goes on for up to within after gone.
func (c *clients) run(addr, quick, slow string, within time.Duration) {
	for i := range 10 {
		client := &load.Client{Addr: addr, KeepAlive: i%2 == 0, Timeout: 20 * time.Second}
		page, pace := quick, 5*time.Millisecond
		if i >= 8 {
			page, pace = slow, 0
		}
		c.send(func() error { return client.Get(page) }, pace, within)
	}
}

// send is one more client.
func (c *clients) send(request func() error, pace, within time.Duration) {
	late := time.Duration(rand.Int64N(int64(within)))
	c.late = max(c.late, late)
	c.wg.Go(func() {
		for {
			next := time.After(pace)
			if c.ended(request(), late) {
				return
			}
			<-next
		}
	})
}

// ended takes down a request, and reports whether the client that learns so late has now learned.
func (c *clients) ended(err error, late time.Duration) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tally.Add(err)
	if err != nil && len(c.errs) < 5 {
		c.errs = append(c.errs, err)
	}
	return !c.gone.IsZero() && time.Since(c.gone) > late
}

func TestRollout(t *testing.T) {
	for _, app := range thirds {
		t.Run(app.name, func(t *testing.T) {
			if !ownNetwork(t) {
				return
			}
			const addr, health = "127.0.0.1:8080", "127.0.0.1:8086"
			dir := t.TempDir()
			argv, quick, slow := app.prepare(t, dir, addr)

			flags := []string{"--term-delay", "30s", "--quiet-period", "1s", "--drain-timeout", "15s", "--health-addr", health, "--ready-check", "http://" + addr + "/", "--ready-period", "100ms", "--"}
			u := start(t, &made, append(flags, argv...)...)
			get(t, "http://"+health+"/readyz", 200)
			c, took := stopUnderLoad(u, addr, quick, slow)
			t.Logf("usher: %d served, %v, gone after %v, requests were sent for %v", c.tally.OK, c.tally, took, c.late)
			if c.tally.Failed() > 0 || c.tally.OK < 100 {
				t.Errorf("usher: %v: %v\n%s", c.tally, c.errs, &u.stderr)
			}
			if took < c.late || took > 25*time.Second {
				t.Errorf("usher: the stop took %v of 30s, requests were sent for %v\n%s", took, c.late, &u.stderr)
			}
			u.logged("quiet for 1s")

			tini := needs(t, "tini")
			u = start(t, &build{path: tini}, append([]string{"--"}, argv...)...)
			get(t, "http://"+addr+"/", 200)
			c, took = stopUnderLoad(u, addr, quick, slow)
			t.Logf("tini: %d served, %v, gone after %v", c.tally.OK, c.tally, took)
			if c.tally.Failed() == 0 {
				t.Error("tini: none failed: this test shows nothing")
			}
			if !app.finishes && c.tally.Cut == 0 {
				t.Errorf("tini: none was cut: %v", c.tally)
			}
		})
	}
}

// stopUnderLoad sends requests for a second, then SIGTERM, and then more, for up to 2 s (kube-proxy: up to 8).
func stopUnderLoad(u *usher, addr, quick, slow string) (*clients, time.Duration) {
	u.t.Helper()
	c := &clients{}
	c.run(addr, quick, slow, 2*time.Second)
	time.Sleep(time.Second) // of load
	return c, c.stop(u)
}

// stop sends SIGTERM, and returns how long the stop took. The clients have ended, too.
func (c *clients) stop(u *usher) time.Duration {
	u.t.Helper()
	c.mu.Lock()
	c.gone = time.Now()
	c.mu.Unlock()
	u.signal(unix.SIGTERM)
	u.wait()
	took := time.Since(c.gone)
	c.wg.Wait()
	return took
}
