package healthz

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// need skips the test if a program is not installed.
func need(t testing.TB, program string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		t.Skipf("%s is not installed (apt-get install curl wrk nginx-light)", program)
	}
	return path
}

func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
	return string(out)
}

func TestCurl(t *testing.T) {
	curl := need(t, "curl")
	addr, _ := start(t, nil)
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"http://" + addr + "/livez"}, "ok 200 1\n"},
		{[]string{"--http1.0", "http://" + addr + "/livez"}, "ok 200 1\n"},
		{[]string{"--http2-prior-knowledge", "http://" + addr + "/livez"}, ""},
		{[]string{"--http2", "http://" + addr + "/livez"}, "ok 200 1\n"}, // h2c upgrade: ignored
		{[]string{"http://" + addr + "/livez?verbose"}, "[+]app ok\nlivez check passed\n 200 1\n"},
		{[]string{"http://" + addr + "/readyz"}, "[+]app ok\n[-]ready-1 failed: connection refused\n[+]stop ok\nreadyz check failed\n 503 1\n"},
		{[]string{"-o", "/dev/null", "--head", "http://" + addr + "/livez"}, " 200 1\n"},
		{[]string{"-d", "x=y", "http://" + addr + "/livez"}, "405 Method Not Allowed\n 405 1\n"},
		{[]string{"-T", os.Args[0], "http://" + addr + "/livez"}, "405 Method Not Allowed\n 405 1\n"}, // megabytes
		{[]string{"-x", "http://" + addr, "http://some.where:81/livez"}, "ok 200 1\n"},                // absolute form
		{[]string{"http://" + addr + "/livez", "http://" + addr + "/livez"}, "ok 200 1\nok 200 0\n"},  // one connection
		{[]string{"-H", "Host:", "http://" + addr + "/livez"}, "400 Bad Request: no Host\n 400 1\n"},
		{[]string{"-H", "Cookie: " + strings.Repeat("x", 20_000), "http://" + addr + "/livez"}, "431 Request Header Fields Too Large\n 431 1\n"},
	} {
		args := append([]string{"-q", "-s", "--max-time", "5", "-w", " %{http_code} %{num_connects}\n"}, tt.args...)
		if tt.want == "" {
			if err := exec.Command(curl, args...).Run(); err == nil {
				t.Errorf("%.100q: no error", tt.args)
			}
			continue
		}
		if got := run(t, curl, args...); got != tt.want {
			t.Errorf("%.100q: got %q, want %q", tt.args, got, tt.want)
		}
	}
}

// TestGoClient: many goroutines reuse connections. A client with kubelet's
// settings gets a new connection each time.
func TestGoClient(t *testing.T) {
	addr, s := start(t, nil)
	for _, tt := range []struct {
		name      string
		transport *http.Transport
		conns     int
	}{
		{"keep-alive", &http.Transport{MaxIdleConnsPerHost: 20, MaxConnsPerHost: 20}, 20},
		{"kubelet", &http.Transport{DisableKeepAlives: true, DisableCompression: true}, 0}, // pkg/probe/http/http.go
	} {
		t.Run(tt.name, func(t *testing.T) {
			client := &http.Client{Transport: tt.transport, Timeout: 10 * time.Second}
			var wg sync.WaitGroup
			for i := range 20 {
				wg.Go(func() {
					for j := range 50 {
						path, want, status := "/livez", "ok", 200
						if (i+j)%2 == 0 {
							path, want, status = "/readyz?exclude=app", "[+]app excluded: ok\n[-]ready-1 failed: connection refused\n[+]stop ok\nreadyz check failed\n", 503
						}
						req, _ := http.NewRequest("GET", "http://"+addr+path, nil)
						req.Header.Set("User-Agent", "kube-probe/1.37")
						req.Header.Set("Accept", "*/*")
						res, err := client.Do(req)
						if err != nil {
							t.Error(err)
							return
						}
						body, err := io.ReadAll(res.Body)
						res.Body.Close()
						if err != nil || res.StatusCode != status || string(body) != want {
							t.Errorf("%s: %d %q, %v", path, res.StatusCode, body, err)
						}
					}
				})
			}
			wg.Wait()
			if tt.conns == 0 {
				waitFor(t, "all connections to end", func() bool { return int(s.open.Load()) == 0 })
			} else if n := int(s.open.Load()); n == 0 || n > tt.conns {
				t.Errorf("%d connections for %d goroutines", n, tt.conns)
			}
			tt.transport.CloseIdleConnections()
			waitFor(t, "all connections to end", func() bool { return int(s.open.Load()) == 0 })
		})
	}
}

var wrkRequests = regexp.MustCompile(`(\d+) requests in`)

// TestLoad runs wrk for a second, then 20,000 requests on connections of their
// own, and measures the memory of both. The server is a process of its own,
// with the GOGC that main sets (10): with Go's default the heap may grow to 4
// MB first.
func TestLoad(t *testing.T) {
	wrk := need(t, "wrk")
	addr, pid, _ := startAlone(t, 0, "GOGC=10")
	for range 100 {
		wantOK(t, addr)
	}
	fresh := private(t, pid)
	out := run(t, wrk, "-t1", "-c32", "-d1s", "--timeout", "5s", "http://"+addr+"/livez")
	m := wrkRequests.FindStringSubmatch(out)
	if m == nil || strings.Contains(out, "Socket errors") || strings.Contains(out, "Non-2xx") {
		t.Fatalf("wrk:\n%s", out)
	}
	kept := private(t, pid)
	const single = 20_000
	for range single {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		if err := ask(c); err != nil {
			t.Fatal(err)
		}
		c.Close()
	}
	after := private(t, pid)
	t.Logf("private memory: %d kB, after %s requests on 32 connections %d kB, after %d on as many %d kB", fresh, m[1], kept, single, after)
	// Measured: 30 and 50. Race detector and machine differ; a leak of 40 bytes per
	// request would add 800.
	if !raceEnabled && (kept-fresh > 500 || after-fresh > 500) {
		t.Errorf("private memory grew from %d kB to %d, then %d", fresh, kept, after)
	}
}

// private returns a process's anonymous resident memory in kB.
func private(t testing.TB, pid int) int {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`RssAnon:\s+(\d+) kB`).FindSubmatch(b)
	if m == nil {
		t.Skip("no RssAnon in /proc/PID/status")
	}
	n, _ := strconv.Atoi(string(m[1]))
	return n
}

// TestNginx: the server works behind a proxy, with and without kept
// connections, for GET and HEAD, and for refusals.
func TestNginx(t *testing.T) {
	nginx := need(t, "nginx")
	addr, s := start(t, nil)
	dir := t.TempDir()
	free, err := Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	front := free.Addr().String()
	free.Close()
	config := fmt.Sprintf(`
daemon off; master_process off; pid nginx.pid; error_log stderr warn;
events { worker_connections 200; }
http {
	access_log off; client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path f; uwsgi_temp_path u; scgi_temp_path s;
	upstream health { server %s; keepalive 4; }
	server {
		listen %s;
		location / { proxy_pass http://health; proxy_http_version 1.1; proxy_set_header Connection ""; }
		location /old/ { proxy_pass http://health/; }
	}
}`, addr, front)
	if err := os.WriteFile(filepath.Join(dir, "nginx.conf"), []byte(config), 0o644); err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	cmd := exec.Command(nginx, "-p", dir, "-c", "nginx.conf")
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stop := sync.OnceFunc(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	t.Cleanup(stop)
	waitFor(t, "nginx", func() bool {
		c, err := net.Dial("tcp", front)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
	client := &http.Client{Timeout: 10 * time.Second}
	for i := range 200 {
		for _, tt := range []struct {
			method, path, body string
			status             int
		}{
			{"GET", "/livez", "ok", 200},
			{"HEAD", "/livez", "", 200},
			{"GET", "/readyz?verbose&exclude=app", "[+]app excluded: ok\n[-]ready-1 failed: connection refused\n[+]stop ok\nreadyz check failed\n", 503},
			{"GET", "/old/livez", "ok", 200}, // HTTP/1.0, Connection: close
			{"POST", "/livez", "405 Method Not Allowed\n", 405},
			{"GET", "/nowhere", notFound, 404},
		} {
			var sent io.Reader
			if tt.method == "POST" {
				sent = strings.NewReader(strings.Repeat("x", 1000*(i%10)))
			}
			req, _ := http.NewRequest(tt.method, "http://"+front+tt.path, sent)
			res, err := client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(res.Body)
			res.Body.Close()
			if err != nil || res.StatusCode != tt.status || string(body) != tt.body {
				t.Fatalf("%s %s: %d %q, %v", tt.method, tt.path, res.StatusCode, body, err)
			}
		}
	}
	if n := int(s.open.Load()); n == 0 || n > 5 {
		t.Errorf("nginx keeps %d connections, want 1 to 5", n)
	}
	stop()
	if log.Len() > 0 {
		t.Errorf("nginx complains:\n%s", log.String())
	}
}
