package healthz

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

const get = "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"

// ask sends one request over an open connection and wants a 200.
func ask(c net.Conn) error {
	if _, err := io.WriteString(c, get); err != nil {
		return err
	}
	return answered(c)
}

// answered wants a 200.
func answered(c io.Reader) error {
	b := make([]byte, 1024)
	n, err := c.Read(b)
	if err == nil && !strings.HasPrefix(string(b[:n]), "HTTP/1.1 200 OK\r\n") {
		err = fmt.Errorf("got %q", b[:n])
	}
	return err
}

func wantOK(t testing.TB, addr string) {
	t.Helper()
	if err := ask(dial(t, addr)); err != nil {
		t.Fatal(err)
	}
}

func wantClosed(t testing.TB, c net.Conn) {
	t.Helper()
	if b, err := io.ReadAll(c); err != nil || len(b) > 0 {
		t.Fatalf("got %.80q, %v; want the connection closed", b, err)
	}
}

// TestPipelining: answers come in order, and none comes after a fault.
func TestPipelining(t *testing.T) {
	addr, _ := start(t, nil)
	c := dial(t, addr)
	const n = 1000
	go func() {
		for range n {
			io.WriteString(c, get+"HEAD /livez HTTP/1.1\r\nHost: x\r\n\r\nGET /readyz HTTP/1.1\r\nHost: x\r\n\r\n")
		}
		io.WriteString(c, "GET /livez HTTP/1.1\r\n\r\n"+get)
	}()
	r := bufio.NewReader(c)
	for i := range 3*n + 1 {
		method, want := "GET", []int{200, 200, 503}[i%3]
		if i%3 == 1 {
			method = "HEAD"
		}
		if i == 3*n {
			want = 400
		}
		res, err := http.ReadResponse(r, &http.Request{Method: method})
		if err != nil {
			t.Fatalf("response %d: %v", i, err)
		}
		io.Copy(io.Discard, res.Body)
		if res.StatusCode != want {
			t.Fatalf("response %d: got %d, want %d", i, res.StatusCode, want)
		}
	}
	if rest, err := io.ReadAll(r); err != nil || len(rest) > 0 {
		t.Errorf("after the 400: %q, %v", rest, err)
	}
}

// TestByteByByte: a request may come in any pieces.
func TestByteByByte(t *testing.T) {
	addr, _ := start(t, nil)
	c := dial(t, addr)
	raw := "\r\n" + get // as some clients send after a body
	for i := range raw {
		if _, err := io.WriteString(c, raw[i:i+1]); err != nil {
			t.Fatal(err)
		}
		if i%5 == 0 {
			time.Sleep(time.Millisecond) // so that the server reads several pieces
		}
	}
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil || res.StatusCode != 200 {
		t.Fatal(res, err)
	}
}

// TestHalfClosed: a client that has closed its sending side still gets its
// answer (nc -N).
func TestHalfClosed(t *testing.T) {
	addr, _ := start(t, nil)
	c := dial(t, addr)
	io.WriteString(c, get)
	c.(*net.TCPConn).CloseWrite()
	if b, err := io.ReadAll(c); err != nil || !strings.HasSuffix(string(b), "\r\n\r\nok") {
		t.Errorf("got %q, %v", b, err)
	}
}

// TestAnswerSurvivesBody: a refusal arrives although the client is still
// sending a body.
func TestAnswerSurvivesBody(t *testing.T) {
	addr, _ := start(t, nil)
	for range 20 {
		c := dial(t, addr)
		io.WriteString(c, "POST /livez HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n")
		c.Write(make([]byte, 100_000))
		if res, err := http.ReadResponse(bufio.NewReader(c), nil); err != nil || res.StatusCode != 405 {
			t.Fatal(res, err)
		}
	}
}

func TestClose(t *testing.T) {
	addr, s := start(t, nil)
	idle, unfinished := dial(t, addr), dial(t, addr)
	if err := ask(idle); err != nil {
		t.Fatal(err)
	}
	io.WriteString(unfinished, "GET /livez")
	waitFor(t, "both", func() bool { return int(s.open.Load()) == 2 })
	s.Close()
	s.Close()
	for _, c := range []net.Conn{idle, unfinished} {
		if _, err := io.Copy(io.Discard, c); err != nil && !strings.Contains(err.Error(), "reset") {
			t.Error(err)
		}
	}
	if c, err := net.Dial("tcp", addr); err == nil {
		c.Close()
		t.Error("still listening")
	}
	unused := newServer(t)
	if err := unused.Listen("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	unused.Close()
	unused.Serve() // returns
	if c, err := net.Dial("tcp", unused.addr()); err == nil {
		c.Close()
		t.Error("a server that was closed before it served is still listening")
	}
}

// A mistake of the server's own ends one connection only.
func TestPanicEndsTheConnection(t *testing.T) {
	s := newServer(t)
	c, client := connected(t, s)
	if _, err := client.WriteString(get); err != nil {
		t.Fatal(err)
	}
	c.scanned = maxHead + 1
	c.ready()
	if n := s.open.Load(); n != 0 || c.fd >= 0 || !slices.Equal(s.free, []*conn{c}) {
		t.Errorf("%d connections, descriptor %d, %d free places", n, c.fd, len(s.free))
	}
}
