package check

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// full returns the address of a listener whose queue is full. The kernel drops
// further SYNs, as for a server that hangs.
func full(t testing.TB) string {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Close(fd) })
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	sa, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	addr := fmt.Sprintf("127.0.0.1:%d", sa.(*syscall.SockaddrInet4).Port)
	for range 10 {
		c, err := net.DialTimeout("tcp", addr, 50*time.Millisecond)
		if err != nil {
			return addr
		}
		t.Cleanup(func() { c.Close() })
	}
	t.Skip("this kernel's listen queues do not fill up")
	return ""
}

func freePort(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}

// startReal starts a server. It returns the server's output, and a function
// that ends it.
func startReal(t *testing.T, name string, args ...string) (log *strings.Builder, stop func()) {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("%s is not installed (apt-get install redis-server nginx-light)", name)
	}
	log = new(strings.Builder)
	cmd := exec.Command(path, args...)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stopped := false
	stop = func() {
		if !stopped {
			stopped = true
			cmd.Process.Kill()
			cmd.Wait()
		}
	}
	t.Cleanup(stop)
	return log, stop
}

// eventually runs the check until it returns the wanted result.
func eventually(t *testing.T, spec, want string) {
	t.Helper()
	var got string
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if got = text(runCheck(t, spec, time.Second)); got == want {
			return
		}
	}
	t.Fatalf("%s: got %q, want %q", spec, got, want)
}

func TestRedis(t *testing.T) {
	port := freePort(t)
	_, stop := startReal(t, "redis-server", "--port", port, "--bind", "127.0.0.1", "--save", "", "--dir", t.TempDir())
	eventually(t, "tcp://localhost:"+port, "")
	// Redis takes an HTTP request for an attack and closes the connection.
	if err := runCheck(t, "http://localhost:"+port, time.Second); err == nil {
		t.Error("redis passed for an HTTP server")
	}
	stop()
	eventually(t, "tcp://localhost:"+port, "connection refused")
}

func TestNginx(t *testing.T) {
	port, dir := freePort(t), t.TempDir()
	config := `
daemon off; master_process off; pid nginx.pid; error_log stderr info;
events { worker_connections 50; }
http {
	access_log off; client_body_temp_path b; proxy_temp_path p; fastcgi_temp_path f; uwsgi_temp_path u; scgi_temp_path s;
	server {
		listen 127.0.0.1:` + port + `;
		location = /ok { return 200 "ok"; }
		location = /moved { return 301 /ok; }
		location = /down { return 503; }
		location = /empty { return 204; }
		location = /named { if ($http_host != "localhost:` + port + `") { return 500; } return 200; }
		location = /agent { if ($http_user_agent != "usher/dev") { return 500; } return 200; }
		location = /silent { return 444; }
	}
}`
	if err := os.WriteFile(filepath.Join(dir, "nginx.conf"), []byte(config), 0o644); err != nil {
		t.Fatal(err)
	}
	log, stop := startReal(t, "nginx", "-p", dir, "-c", "nginx.conf")
	eventually(t, "http://localhost:"+port+"/ok", "")
	for path, want := range map[string]string{
		"/moved": "", "/empty": "", "/named": "", "/agent": "", "/ok?x=%20y": "",
		"/down": "HTTP 503 Service Temporarily Unavailable", "/nowhere": "HTTP 404 Not Found",
		"/silent": "connection closed without a response",
	} {
		for range 20 {
			if got := text(runCheck(t, "http://localhost:"+port+path, time.Second)); got != want {
				t.Errorf("%s: got %q, want %q", path, got, want)
			}
		}
	}
	stop()
	if s := log.String(); strings.Contains(s, "reset") || strings.Contains(s, "prematurely") {
		t.Errorf("nginx complains:\n%s", s)
	}
	eventually(t, "http://localhost:"+port+"/ok", "connection refused")
}
