package main_test

import (
	"bufio"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// trickle sends one byte at a time, and never ends.
func trickle(c net.Conn, head, again string) {
	for b := head; ; b = again {
		for i := range len(b) {
			if _, err := c.Write([]byte(b[i : i+1])); err != nil {
				return
			}
			time.Sleep(50 * time.Millisecond)
		}
	}
}

// flood sends head, and then the same again and again.
func flood(c net.Conn, head, again string) {
	b := []byte(strings.Repeat(again, 1+4096/len(again)))
	for _, err := io.WriteString(c, head); err == nil; {
		_, err = c.Write(b)
	}
}

// frame is one of HTTP/2 (RFC 9113, 4.1).
func frame(kind, flags byte, stream uint32, payload string) string {
	b := binary.BigEndian.AppendUint32(nil, uint32(len(payload))<<8|uint32(kind))
	return string(binary.BigEndian.AppendUint32(append(b, flags), stream)) + payload
}

// resident is how much memory usher has, in kB.
func resident(t *testing.T, u *usher) (kb int) {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", u.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(status), "\nVmRSS:")
	if _, err := fmt.Sscan(rest, &kb); err != nil {
		t.Fatalf("%v: %s", err, status)
	}
	return kb
}

var success = regexp.MustCompile(`\nusher_check_results(_total)?{check="live-1",result="success"} [1-9]`)

// hasHeld waits until live-1 has been asked, and has held.
func hasHeld(t *testing.T, health string) {
	t.Helper()
	eventually(t, func() error {
		if all := get(t, "http://"+health+"/metrics", 200); !success.MatchString(all) || !strings.Contains(all, "usher_check_ok{check=\"live-1\"} 1\n") {
			return errors.New(all)
		}
		return nil
	})
}

// The time limit of a check is one of all that a server can do to put it off, and none of that takes usher's memory.
func TestHostileServers(t *testing.T) {
	certificate := httptest.NewTLSServer(nil)
	defer certificate.Close()
	const (
		ok       = "HTTP/1.1 200 OK\r\n"
		settings = 4
		headers  = 1
		ping     = 6
		more     = 9 // CONTINUATION
	)
	for _, tt := range []struct {
		name, kinds string
		tls         bool
		serve       func(c net.Conn)
		holds       string // the kinds of checks for which that is nothing bad
	}{
		{name: "silent", kinds: "http https grpc grpcs", serve: func(c net.Conn) { io.Copy(io.Discard, c) }},
		{name: "deaf", kinds: "http https grpc grpcs", serve: func(c net.Conn) { time.Sleep(patience) }},
		{name: "byte by byte", kinds: "http https grpc grpcs", serve: func(c net.Conn) { trickle(c, "", ok) }},
		{name: "byte by byte", kinds: "https grpcs", tls: true, serve: func(c net.Conn) { trickle(c, "", ok) }},
		{name: "slow header", kinds: "http", serve: func(c net.Conn) { trickle(c, ok, "X: y\r\n") }},
		{name: "endless header", kinds: "http https", serve: func(c net.Conn) { flood(c, ok, "X: y\r\n") }},
		{name: "endless header", kinds: "https", tls: true, serve: func(c net.Conn) { flood(c, ok, "X: y\r\n") }},
		{name: "endless line", kinds: "http", serve: func(c net.Conn) { flood(c, ok+"X: ", "y") }},
		{name: "endless status", kinds: "http", serve: func(c net.Conn) { flood(c, "HTTP/1.1 200 ", "O") }},
		{name: "endless interim", kinds: "http", serve: func(c net.Conn) { flood(c, "", "HTTP/1.1 100 Continue\r\n\r\n") }},
		{name: "slow interim", kinds: "http", serve: func(c net.Conn) { trickle(c, "", "HTTP/1.1 102 Processing\r\n\r\n") }},
		{name: "10 GB", kinds: "http", holds: "http", serve: func(c net.Conn) { flood(c, ok+"Content-Length: 10000000000\r\n\r\n", "x") }},
		{name: "endless body", kinds: "https", tls: true, holds: "https", serve: func(c net.Conn) { flood(c, ok+"\r\n", "x") }},
		{name: "endless chunk", kinds: "http", holds: "http", serve: func(c net.Conn) { flood(c, ok+"Transfer-Encoding: chunked\r\n\r\nffffffff\r\n", "x") }},
		{name: "no end of body", kinds: "https", tls: true, serve: func(c net.Conn) { io.WriteString(c, ok+"Content-Length: 9\r\n\r\nx"); io.Copy(io.Discard, c) }},
		{name: "failing, and no end", kinds: "http", serve: func(c net.Conn) {
			io.WriteString(c, "HTTP/1.1 503 No\r\nContent-Length: 9\r\n\r\nx")
			io.Copy(io.Discard, c)
		}},
		{name: "only settings", kinds: "grpc", serve: func(c net.Conn) { io.WriteString(c, frame(settings, 0, 0, "")); io.Copy(io.Discard, c) }},
		{name: "pings", kinds: "grpc", serve: func(c net.Conn) {
			go io.Copy(io.Discard, c)
			flood(c, frame(settings, 0, 0, ""), frame(ping, 0, 0, "12345678"))
		}},
		{name: "settings again and again", kinds: "grpc", serve: func(c net.Conn) {
			go io.Copy(io.Discard, c)
			flood(c, frame(settings, 0, 0, ""), frame(settings, 0, 0, ""))
		}},
		{name: "endless header", kinds: "grpc", serve: func(c net.Conn) {
			go io.Copy(io.Discard, c)
			flood(c, frame(settings, 0, 0, "")+frame(headers, 0, 1, "\x88"), frame(more, 0, 1, "\x00\x01x\x01y"))
		}},
	} {
		for kind := range strings.SplitSeq(tt.kinds, " ") {
			t.Run(strings.TrimSuffix(kind+" "+tt.name+map[bool]string{true: " within TLS"}[tt.tls], " "), func(t *testing.T) {
				t.Parallel()
				l := listen(t)
				if tt.tls {
					protocols := []string{"http/1.1"}
					if kind == "grpcs" {
						protocols = []string{"h2"}
					}
					l = tls.NewListener(l, &tls.Config{Certificates: certificate.TLS.Certificates, NextProtos: protocols})
				}
				defer l.Close()
				go func() {
					for {
						c, err := l.Accept()
						if err != nil {
							return
						}
						go func() {
							defer c.Close()
							if strings.HasPrefix(tt.holds, "http") { // an answer before the request is no answer
								http.ReadRequest(bufio.NewReader(c))
							}
							tt.serve(c)
						}()
					}
				}()
				spec := kind + "://" + l.Addr().String()
				holds := strings.Contains(tt.holds, kind)
				for _, checker := range checkers() {
					began := time.Now()
					u := commandHere(t, &build{path: checker[0]}, append(checker[1:], spec)...)
					code := u.begin().wait()
					if took := time.Since(began); took > 6*time.Second || code != map[bool]int{true: 0, false: 1}[holds] {
						t.Errorf("%q: %d after %v: %s%s", checker, code, took, &u.stdout, &u.stderr)
					}
				}
				health := freePort(t)
				u := start(t, &made, "--health-addr", health, "--live-check", spec, "--live-check", "file:/", "--live-period", "100ms", "--live-timeout", "500ms",
					"--live-failure-threshold", "1", "--", "sleep", "1000")
				if holds {
					hasHeld(t, health)
				} else {
					wantBody(t, "http://"+health+"/livez", 503, "[-]live-1 failed: ", " times in a row, for ", "[+]live-2 ok\n")
				}
				if kb := resident(t, u); kb > 16<<10 {
					t.Errorf("usher has %d kB", kb)
				}
				u.signal(unix.SIGTERM)
				u.want(143)
			})
		}
	}
}
