package healthz

import (
	"bytes"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestLean: usher links this package and has to stay small
// (cmd/usher/guard_test.go). Each of these packages would cost from 270 kB to
// 3.5 MB. And healthz is below supervisor, never above it.
func TestLean(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", "usher/healthz/...").Output()
	if err != nil {
		t.Skipf("go list: %v", err)
	}
	deps := strings.Fields(string(out))
	for _, heavy := range []string{
		"net/http", "net/url", "crypto/tls", "encoding/json", "log/slog", "text/template", "regexp", "os/exec", "usher/supervisor",
	} {
		if slices.Contains(deps, heavy) {
			t.Errorf("usher/healthz/... imports %s", heavy)
		}
	}
	if !slices.Contains(deps, "usher/healthz/check") {
		t.Error("the list is not what it should be")
	}
}

// TestNoGarbage: answering allocates nothing, so a probe a second causes no
// work for the collector, even in a year.
func TestNoGarbage(t *testing.T) {
	s := newServer(t)
	c, client := connected(t, s)
	fd := int(client.Fd())
	b := make([]byte, 1024)
	for _, raw := range []string{get, "GET /readyz?verbose HTTP/1.1\r\nHost: x\r\nConnection: keep-alive\r\n\r\n", "GET /x HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"} {
		request := []byte(raw)
		answer := func() {
			unix.Write(fd, request)
			c.ready()
			if n, err := unix.Read(fd, b); err != nil || !bytes.HasPrefix(b[:n], []byte("HTTP/1.1 ")) {
				t.Fatalf("%q, %v", b[:n], err)
			}
		}
		answer() // the buffers are made
		if n := testing.AllocsPerRun(100, answer); n != 0 {
			t.Errorf("%q: %v allocations", raw, n)
		}
	}
	once := func() {
		c := s.newConn(-1)
		c.end()
	}
	once()
	if n := testing.AllocsPerRun(100, once); n != 0 {
		t.Errorf("a connection: %v allocations", n)
	}
}
