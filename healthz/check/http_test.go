package check

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"
)

// serve answers every connection with handle and returns the address.
func serve(t testing.TB, handle func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				c.SetDeadline(time.Now().Add(10 * time.Second))
				handle(c)
			}()
		}
	}()
	return l.Addr().String()
}

// say reads a request and sends raw bytes.
func say(raw string) func(net.Conn) {
	return func(c net.Conn) {
		if _, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
			io.WriteString(c, raw)
		}
	}
}

func runCheck(t testing.TB, spec string, timeout time.Duration) error {
	t.Helper()
	c, err := Parse(spec)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	return c.Run(ctx)
}

// unloaded returns the text with a timeout of 100 ms, even if a busy machine
// has made the check's own timeout shorter.
func unloaded(got string) string {
	return regexp.MustCompile(`^timeout after 9\dms`).ReplaceAllString(got, "timeout after 100ms")
}

func TestHTTP(t *testing.T) {
	for _, tt := range []struct{ name, raw, want string }{
		{"200", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", ""},
		{"200 of HTTP/1.0", "HTTP/1.0 200 OK\r\n\r\nok", ""},
		{"204", "HTTP/1.1 204 No Content\r\n\r\n", ""},
		{"bare LF", "HTTP/1.1 200 OK\n\n", ""},
		{"no reason", "HTTP/1.1 200\r\n\r\n", ""},
		{"redirect", "HTTP/1.1 302 Found\r\nLocation: http://192.0.2.1/\r\nContent-Length: 0\r\n\r\n", ""},
		{"399", "HTTP/1.1 399 x\r\n\r\n", ""},
		{"chunked", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", ""},
		{"interim", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", ""},
		{"long line", "HTTP/1.1 200 OK\r\nA: " + strings.Repeat("a", 20_000) + "\r\nB: c\r\n\r\n", ""},
		{"folded line", "HTTP/1.1 200 OK\r\nA: b\r\n\tc d\r\n\r\n", ""},
		{"400", "HTTP/1.1 400 Bad Request\r\n\r\n", "HTTP 400 Bad Request"},
		{"503", "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n", "HTTP 503 Service Unavailable"},
		{"503, no reason", "HTTP/1.1 503 \r\n\r\n", "HTTP 503"},
		{"999", "HTTP/1.1 999 x\r\n\r\n", "HTTP 999 x"},
		{"reason unfit to print", "HTTP/1.1 500 \x1b[31mno\xff\r\n\r\n", "HTTP 500 ?[31mno?"},
		{"reason too long", "HTTP/1.1 500 " + strings.Repeat("x", 500) + "\r\n\r\n", "HTTP 500 " + strings.Repeat("x", 80)},
		{"101", "HTTP/1.1 101 Switching Protocols\r\n\r\n", "HTTP 101 Switching Protocols"},
		{"interim for ever", strings.Repeat("HTTP/1.1 100 Continue\r\n\r\n", 100), "malformed HTTP response: too many interim responses"},
		{"nothing", "", "connection closed without a response"},
		{"half a line", "HTTP/1.1 20", "connection closed without a response"},
		{"half a head", "HTTP/1.1 200 OK\r\nA: b\r\n", "connection closed without a response"},
		{"another protocol", "220 mail ESMTP\r\n", `malformed HTTP response: "220 mail ESMTP"`},
		{"TLS alert", "\x15\x03\x01\x00\x02\x02\x46\n", `malformed HTTP response: "\x15\x03\x01\x00\x02\x02F"`},
		{"HTTP/2", "HTTP/2 200\r\n\r\n", `malformed HTTP response: "HTTP/2 200"`},
		{"status of 2 digits", "HTTP/1.1 20 x\r\n\r\n", `malformed HTTP response: "HTTP/1.1 20 x"`},
		{"status of 4 digits", "HTTP/1.1 2000\r\n\r\n", `malformed HTTP response: "HTTP/1.1 2000"`},
		{"status 0", "HTTP/1.1 099 x\r\n\r\n", `malformed HTTP response: "HTTP/1.1 099 x"`},
		{"header without colon", "HTTP/1.1 200 OK\r\nnonsense\r\n\r\n", `malformed HTTP header: "nonsense"`},
		{"length", "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", `malformed Content-Length: " -1"`},
		{"header for ever", "HTTP/1.1 200 OK\r\n" + strings.Repeat("A: b\r\n", 20_000), "HTTP response header larger than 64 KiB"},
		{"line for ever", "HTTP/1.1 200 OK\r\nA: " + strings.Repeat("a", 100_000), "HTTP response header larger than 64 KiB"},
		{"status line for ever", strings.Repeat("a", 100_000), "HTTP response header larger than 64 KiB"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			addr := serve(t, say(tt.raw))
			if got := text(runCheck(t, "http://"+addr+"/", 5*time.Second)); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

// TestRequest compares the request, byte for byte.
func TestRequest(t *testing.T) {
	got := make(chan string, 1)
	addr := serve(t, func(c net.Conn) {
		b := make([]byte, 4096)
		n, _ := c.Read(b)
		got <- string(b[:n])
		io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
	})
	_, port, _ := net.SplitHostPort(addr)
	for _, host := range []string{"127.0.0.1:" + port, "localhost:" + port} {
		if err := runCheck(t, "http://"+host+"/ready%20y?a=b&c", 5*time.Second); err != nil {
			t.Fatal(err)
		}
		want := "GET /ready%20y?a=b&c HTTP/1.1\r\nHost: " + host + "\r\nUser-Agent: usher/dev\r\nAccept: */*\r\nConnection: close\r\n\r\n"
		if got := <-got; got != want {
			t.Errorf("sent %q\nwant %q", got, want)
		}
	}
}

// TestNoReset: the connection is not reset for a server that writes a body of
// moderate size.
func TestNoReset(t *testing.T) {
	for _, head := range []string{"Content-Length: 9000\r\n", "Transfer-Encoding: chunked\r\n", ""} {
		ended := make(chan error, 1)
		addr := serve(t, func(c net.Conn) {
			http.ReadRequest(bufio.NewReader(c))
			io.WriteString(c, "HTTP/1.1 200 OK\r\n"+head+"\r\n")
			time.Sleep(5 * time.Millisecond) // so that the head arrives before the body
			var errs error
			for range 3 { // a write to a closed connection causes a reset, which the next write meets
				_, err := io.WriteString(c, strings.Repeat("x", 3000))
				errs = errors.Join(errs, err)
				time.Sleep(5 * time.Millisecond)
			}
			errs = errors.Join(errs, c.(*net.TCPConn).CloseWrite())
			_, err := io.Copy(io.Discard, c)
			ended <- errors.Join(errs, err)
		})
		if err := runCheck(t, "http://"+addr, 5*time.Second); err != nil {
			t.Error(err)
		}
		if err := <-ended; err != nil {
			t.Errorf("%q: the server got %v", head, err)
		}
	}
}

// TestEndlessBody: the status decides. An endless body neither fails the check
// nor delays it.
func TestEndlessBody(t *testing.T) {
	for _, head := range []string{"", "Content-Length: 5\r\n", "Content-Length: 4000000000\r\n"} {
		addr := serve(t, func(c net.Conn) {
			say("HTTP/1.1 200 OK\r\n" + head + "\r\n")(c)
			io.Copy(io.Discard, c)
		})
		began := time.Now()
		if err := runCheck(t, "http://"+addr, 10*time.Second); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("%q: took %v", head, took)
		}
	}
}

func TestTimeout(t *testing.T) {
	silent := serve(t, func(c net.Conn) { io.Copy(io.Discard, c) })
	trickle := serve(t, func(c net.Conn) {
		for _, err := io.WriteString(c, "HTTP/1.1 200 OK\r\n"); err == nil; time.Sleep(10 * time.Millisecond) {
			_, err = io.WriteString(c, "A: b\r\n")
		}
	})
	for _, tt := range []struct{ spec, want string }{
		{"http://" + silent, "timeout after 100ms: no response"},
		{"http://" + trickle, "timeout after 100ms: no response"},
		{"tcp://" + full(t), "timeout after 100ms: no connection"},
		{"http://" + full(t), "timeout after 100ms: no connection"},
	} {
		began := time.Now()
		if got := unloaded(text(runCheck(t, tt.spec, 100*time.Millisecond))); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.spec, got, tt.want)
		}
		if took := time.Since(began); took < 100*time.Millisecond || took > 5*time.Second {
			t.Errorf("%s: took %v", tt.spec, took)
		}
	}
	t.Run("cancel", func(t *testing.T) {
		c, err := Parse("http://" + silent)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		began := time.Now()
		time.AfterFunc(20*time.Millisecond, cancel)
		if err := c.Run(ctx); !errors.Is(err, context.Canceled) || time.Since(began) > 5*time.Second {
			t.Errorf("got %v after %v", err, time.Since(began))
		}
	})
}

func TestRefused(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	_, port, _ := net.SplitHostPort(addr)
	for _, spec := range []string{"tcp://" + addr, "http://" + addr, "tcp://localhost:" + port} {
		if got := text(runCheck(t, spec, 5*time.Second)); got != "connection refused" {
			t.Errorf("%s: %q", spec, got)
		}
	}
}

// TestLocalhost: localhost means both families, and needs no resolver.
func TestLocalhost(t *testing.T) {
	for _, addr := range []string{"127.0.0.1:0", "[::1]:0"} {
		l, err := net.Listen("tcp", addr)
		if err != nil {
			t.Skipf("%s: %v", addr, err)
		}
		_, port, _ := net.SplitHostPort(l.Addr().String())
		if err := runCheck(t, "tcp://localhost:"+port, 5*time.Second); err != nil {
			t.Errorf("%s: %v", addr, err)
		}
		l.Close()
	}
}

func TestUnknownHost(t *testing.T) {
	got := text(runCheck(t, "tcp://no-such-host.invalid:1", 5*time.Second))
	if got != `no such host "no-such-host.invalid"` && !strings.HasPrefix(got, `cannot resolve "no-such-host.invalid": `) &&
		got != "timeout after 5s: no connection" { // where there is no name server
		t.Errorf("got %q", got)
	}
}

// FuzzResponse: no response makes the parser panic. The parser stays within its
// budget, and its result fits into a line.
func FuzzResponse(f *testing.F) {
	f.Add("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
	f.Add("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.0 503 \r\nA: b\r\n c\r\n\r\n")
	f.Add("HTTP/1.1 200\n\n")
	f.Fuzz(func(t *testing.T, raw string) {
		in := strings.NewReader(raw)
		res, err := readResponse(bufio.NewReaderSize(in, maxResponseLine))
		if read := len(raw) - in.Len(); read > maxResponseHead+2*maxResponseLine {
			t.Errorf("read %d bytes", read)
		}
		if err != nil {
			if s := err.Error(); len(s) > 300 || strings.ContainsAny(s, "\r\n") {
				t.Errorf("error %q", s)
			}
			return
		}
		if res.status < 100 || res.status > 999 || res.status < 200 && res.status != 101 || res.length < -1 {
			t.Errorf("%q: %+v", raw, res)
		}
		for _, c := range []byte(res.reason) {
			if c < ' ' || c > '~' {
				t.Errorf("%q: reason %q", raw, res.reason)
			}
		}
		if want, err := http.ReadResponse(bufio.NewReader(strings.NewReader(raw)), nil); err == nil && want.StatusCode >= 200 && want.StatusCode != res.status {
			t.Errorf("%q: status %d, net/http has %d", raw, res.status, want.StatusCode)
		}
	})
}
