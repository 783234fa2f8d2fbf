package check

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
)

// TestHeaders: header fields are sent in order, and may replace one of usher's
// own.
func TestHeaders(t *testing.T) {
	got := make(chan *http.Request, 1)
	addr := serve(t, func(conn net.Conn) {
		r, _ := http.ReadRequest(bufio.NewReader(conn))
		got <- r
		io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
	})
	c, err := Parse("http://" + addr)
	if err != nil {
		t.Fatal(err)
	}
	var headers []Header
	for _, s := range []string{"host:\texample.com ", "User-Agent: me", "X-Key: a: b ü", "X-Key:c", "X-Empty:"} {
		h, err := ParseHeader(s)
		if err != nil {
			t.Fatal(err)
		}
		headers = append(headers, h)
	}
	c.SetHeaders(headers)
	if err := c.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	r := <-got
	if r.Host != "example.com" || strings.Join(r.Header["User-Agent"], "|") != "me" || strings.Join(r.Header["X-Key"], "|") != "a: b ü|c" ||
		strings.Join(r.Header["Accept"], "|") != "*/*" || len(r.Header["X-Empty"]) != 1 || !r.Close {
		t.Errorf("%+v", r)
	}
	c2, _ := Parse("tcp://" + addr)
	c2.SetHeaders(headers)
	if err := c2.Run(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestHeaderMistakes(t *testing.T) {
	for s, want := range map[string]string{
		"": "want NAME: VALUE", "X": "want NAME: VALUE", ": y": "want NAME: VALUE", "X y: z": `" " cannot be in a name`, "X : z": `" " cannot be in a name`,
		"X: a\nY: b": `"\n" cannot be in a value`, "Content-Length: 3": "a check sets this header field itself, or sends none", "connection: close": "a check sets this header field itself, or sends none",
	} {
		if _, err := ParseHeader(s); err == nil || !strings.HasSuffix(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: %v, want %s", s, err, want)
		}
	}
}

// FuzzHeader: an accepted header is one header line of the request, and changes
// nothing else in it.
func FuzzHeader(f *testing.F) {
	for _, seed := range []string{"X-Key: value", "Host: x", "A:", "X: a\r\nB: c", "Connection: close", "é: ü"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		h, err := ParseHeader(s)
		if err != nil {
			if strings.ContainsAny(err.Error(), "\r\n\x00") {
				t.Errorf("%q: error of several lines: %q", s, err)
			}
			return
		}
		c, _ := Parse("http://host/path")
		c.SetHeaders([]Header{h})
		r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(c.request())))
		if err != nil {
			if strings.EqualFold(h.Name, "host") { // whatever a server makes of it
				return
			}
			t.Fatalf("%q: %v", s, err)
		}
		got := r.Header.Get(h.Name)
		if strings.EqualFold(h.Name, "host") {
			got = r.Host
		}
		if got != strings.TrimSpace(h.Value) && !strings.EqualFold(h.Name, "host") && !strings.EqualFold(h.Name, "trailer") || r.URL.Path != "/path" || !r.Close {
			t.Errorf("%q: %+v", s, r)
		}
	})
}
