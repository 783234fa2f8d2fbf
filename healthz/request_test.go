package healthz

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net/http"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestHeadEnd(t *testing.T) {
	for _, tt := range []struct {
		in   string
		want int
	}{
		{"", -1}, {"\n", -1}, {"\r\n", -1}, {"a\r\n", -1}, {"a\r\n\r", -1}, {"a\r\r\n", -1}, {"a\nb\n", -1},
		{"a\n\n", 3}, {"a\r\n\r\nb", 5}, {"a\n\r\nb", 4}, {"a\r\n\nb", 4}, {"a\r\nb\r\n\r\n", 8}, {"a\r\n\r\r\n\n", 7},
	} {
		// The end of a head is found in whatever pieces it arrives, and however much of
		// it was searched before.
		for from := 0; from <= len(tt.in); from++ {
			if headEnd([]byte(tt.in[:from]), 0) >= 0 {
				break // then it would not have been read on
			}
			if got := headEnd([]byte(tt.in), from); got != tt.want {
				t.Errorf("%q from %d: got %d, want %d", tt.in, from, got, tt.want)
			}
		}
	}
}

// FuzzRequest: no head makes the parser panic or read past its end. net/http
// also accepts every accepted head, and reads it in the same way.
func FuzzRequest(f *testing.F) {
	for _, tt := range statusTests {
		f.Add([]byte(tt.raw))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		n := headEnd(in, 0)
		if n < 0 {
			return
		}
		head := bytes.Clone(in[:n]) // the parser writes to it; a clone's end is where reading past would panic
		r, no := parseRequest(head[:n:n])
		if no.status != 0 {
			statusText(no.status) // panics where there is none
			return
		}
		want, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(in)))
		if err != nil {
			// net/http refuses targets that net/url cannot read, and methods and fields of
			// the future.
			t.Skip()
		}
		if r.http10 == want.ProtoAtLeast(1, 1) {
			t.Errorf("%q: http10 %v, net/http has %s", in, r.http10, want.Proto)
		}
		if path := want.URL.Path; path != string(r.path) && path != "" && !(path == "*" && r.options) {
			t.Errorf("%q: path %q, net/http has %q", in, r.path, path)
		}
		if query := want.URL.RawQuery; query != string(r.query) {
			t.Errorf("%q: query %q, net/http has %q", in, r.query, query)
		}
		if body := want.ContentLength != 0; body != r.body {
			t.Errorf("%q: body %v, net/http has %d", in, r.body, want.ContentLength)
		}
		if r.keep && want.Close {
			t.Errorf("%q: kept, net/http closes", in)
		}
	})
}

// FuzzConnection: whatever a client sends, in whatever pieces, the answers are
// well-formed responses, nothing is left of the connection afterwards, and the
// answers have at most a few hundred bytes for each line of the client.
func FuzzConnection(f *testing.F) {
	for _, tt := range statusTests {
		f.Add([]byte(tt.raw), uint8(7))
	}
	f.Add([]byte("GET /livez HTTP/1.1\r\nHost: x\r\n\r\nHEAD /readyz HTTP/1.1\r\nHost: x\r\n\r\nPOST /livez HTTP/1.1\r\nHost: x\r\n\r\n"), uint8(0))
	f.Fuzz(func(t *testing.T, in []byte, piece uint8) {
		e := endpoints()
		e["boom"] = e["livez"]
		s, err := serverOf(e, t.Logf)
		if err != nil {
			t.Fatal(err)
		}
		defer s.poll.Wait(time.Time{}) // gives back its descriptor
		defer s.Close()
		c, client := connected(t, s)
		defer client.Close()
		fd := int(client.Fd())
		var out bytes.Buffer
		exchange := func() { // the client's buffer is large enough for what one piece brings
			c.ready()
			for b := make([]byte, 64<<10); ; {
				n, _, err := unix.Recvfrom(fd, b, unix.MSG_DONTWAIT)
				if n <= 0 || err != nil {
					return
				}
				out.Write(b[:n])
			}
		}
		for b := in; len(b) > 0 && c.fd >= 0; exchange() {
			n := min(len(b), int(piece)+1)
			if _, err := unix.Write(fd, b[:n]); err != nil {
				break // refused
			}
			b = b[n:]
		}
		unix.Shutdown(fd, unix.SHUT_WR)
		for range 2 { // a refusal's answer, and its end
			if c.fd >= 0 {
				exchange()
			}
		}
		if c.fd >= 0 || s.open.Load() != 0 {
			t.Error("the connection is still there")
		}
		for r := bufio.NewReader(&out); ; {
			if _, err := r.Peek(1); err == io.EOF {
				return
			}
			// The response to HEAD has no body; what follows shows whether it was a HEAD.
			res, err := http.ReadResponse(r, nil)
			if err != nil {
				t.Fatalf("%q: malformed response: %v", in, err)
			}
			next, _ := r.Peek(len("HTTP/1.1 "))
			if string(next) == "HTTP/1.1 " || len(next) == 0 {
				continue
			}
			if _, err := io.Copy(io.Discard, res.Body); err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Fatalf("%q: body: %v", in, err)
			}
		}
	})
}
