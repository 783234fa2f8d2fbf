package healthz

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

const notReady = "[+]app ok\n[-]ready-1 failed: connection refused\n[+]stop ok\nreadyz check failed\n"

const notFound = "404 Not Found: try /livez, /readyz, /startupz, /metrics, /timeline, /statusz or /flagz\n"

// statusTests are requests and their answers. The body "" is not compared.
var statusTests = []struct {
	name, raw string
	status    int
	body      string
	closed    bool
}{
	{"1.1", "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n", 200, "ok", false},
	{"1.1, empty Host", "GET /livez HTTP/1.1\r\nHost:\r\n\r\n", 200, "ok", false},
	{"1.1, IPv6 Host", "GET /livez HTTP/1.1\r\nHost: [::1]:8086\r\n\r\n", 200, "ok", false},
	{"1.1, close", "GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 200, "ok", true},
	{"1.1, close in a list", "GET /livez HTTP/1.1\r\nHost: x\r\nconnection: Upgrade , CLOSE\r\n\r\n", 200, "ok", true},
	{"1.9", "GET /livez HTTP/1.9\r\nHost: x\r\n\r\n", 200, "ok", false},
	{"1.0", "GET /livez HTTP/1.0\r\n\r\n", 200, "ok", true},
	{"1.0, keep-alive", "GET /livez HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", 200, "ok", false},
	{"bare LF", "GET /livez HTTP/1.1\nHost: x\n\n", 200, "ok", false},
	{"empty lines before", "\r\n\n\r\nGET /livez HTTP/1.1\r\nHost: x\r\n\r\n", 200, "ok", false},
	{"HEAD", "HEAD /livez HTTP/1.1\r\nHost: x\r\n\r\n", 200, "", false},
	{"HEAD, failing", "HEAD /readyz HTTP/1.1\r\nHost: x\r\n\r\n", 503, "", false},
	{"HEAD, unknown", "HEAD /nowhere HTTP/1.1\r\nHost: x\r\n\r\n", 404, "", false},
	{"escape", "GET /%6civ%65z HTTP/1.1\r\nHost: x\r\n\r\n", 200, "ok", false},
	{"verbose", "GET /livez?verbose HTTP/1.1\r\nHost: x\r\n\r\n", 200, "[+]app ok\nlivez check passed\n", false},
	{"absolute", "GET http://host:80/livez HTTP/1.1\r\nHost: x\r\n\r\n", 200, "ok", false},
	{"absolute, case, query", "GET HTTP://h/livez?verbose HTTP/1.1\r\nHost: x\r\n\r\n", 200, "[+]app ok\nlivez check passed\n", false},
	{"absolute, no path", "GET http://h HTTP/1.1\r\nHost: x\r\n\r\n", 503, notReady, false},
	{"absolute, only query", "GET https://h?/livez HTTP/1.1\r\nHost: x\r\n\r\n", 503, notReady, false},
	{"Content-Length 0", "GET /livez HTTP/1.1\r\nHost: x\r\nContent-Length: 00\r\n\r\n", 200, "ok", false},
	{"body", "GET /livez HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello", 200, "ok", true},
	{"body that is a request", "GET /livez HTTP/1.1\r\nHost: x\r\nContent-Length: 18\r\n\r\nGET / HTTP/1.0\r\n\r\n", 200, "ok", true},
	{"chunked body", "GET /livez HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: Chunked\r\n\r\n0\r\n\r\n", 200, "ok", true},
	{"failing", "GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n", 503, notReady, false},
	{"failing, excluded", "GET /readyz?exclude=ready-1 HTTP/1.1\r\nHost: x\r\n\r\n", 200, "ok", false},
	{"obs-text in a value", "GET /livez HTTP/1.1\r\nHost: x\r\nX: \xfc\r\n\r\n", 200, "ok", false},

	{"garbage", "hello\r\n\r\n", 400, "", true},
	{"TLS", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400, "400 Bad Request: not HTTP\n", true},
	{"NUL first", "\x00", 400, "", true},
	{"bare CR first", "\rGET /livez HTTP/1.0\r\n\r\n", 400, "", true},
	{"many empty lines", "\n\n\n\n\n\n", 400, "", true},
	{"0.9", "GET /livez\r\n\r\n", 400, "", true},
	{"two spaces", "GET  /livez HTTP/1.1\r\nHost: x\r\n\r\n", 400, "", true},
	{"space in target", "GET /li vez HTTP/1.1\r\nHost: x\r\n\r\n", 400, "", true},
	{"space at the end", "GET /livez HTTP/1.1 \r\nHost: x\r\n\r\n", 400, "", true},
	{"tab", "GET\t/livez\tHTTP/1.1\r\nHost: x\r\n\r\n", 400, "", true},
	{"method no token", "G(T /livez HTTP/1.1\r\nHost: x\r\n\r\n", 400, "", true},
	{"lower-case version", "GET /livez http/1.1\r\nHost: x\r\n\r\n", 400, "", true},
	{"version 1.10", "GET /livez HTTP/1.10\r\nHost: x\r\n\r\n", 400, "", true},
	{"fragment", "GET /livez#x HTTP/1.1\r\nHost: x\r\n\r\n", 400, "", true},
	{"raw UTF-8 target", "GET /ü HTTP/1.1\r\nHost: x\r\n\r\n", 400, "", true},
	{"NUL in target", "GET /livez\x00 HTTP/1.1\r\nHost: x\r\n\r\n", 400, "", true},
	{"bad escape", "GET /livez%2 HTTP/1.1\r\nHost: x\r\n\r\n", 400, "", true},
	{"bad escape 2", "GET /%zzlivez HTTP/1.1\r\nHost: x\r\n\r\n", 400, "", true},
	{"relative target", "GET livez HTTP/1.1\r\nHost: x\r\n\r\n", 400, "", true},
	{"asterisk", "GET * HTTP/1.1\r\nHost: x\r\n\r\n", 400, "", true},
	{"absolute, no authority", "GET http:///livez HTTP/1.1\r\nHost: x\r\n\r\n", 400, "", true},
	{"absolute, user", "GET http://u@h/livez HTTP/1.1\r\nHost: x\r\n\r\n", 400, "", true},
	{"absolute, other scheme", "GET ftp://h/livez HTTP/1.1\r\nHost: x\r\n\r\n", 400, "", true},
	{"no Host", "GET /livez HTTP/1.1\r\n\r\n", 400, "400 Bad Request: no Host\n", true},
	{"two Hosts", "GET /livez HTTP/1.1\r\nHost: x\r\nhost: x\r\n\r\n", 400, "", true},
	{"two Hosts, 1.0", "GET /livez HTTP/1.0\r\nHost: x\r\nhost: x\r\n\r\n", 400, "", true},
	{"Host with slash", "GET /livez HTTP/1.1\r\nHost: x/y\r\n\r\n", 400, "", true},
	{"absolute, no Host", "GET http://h/livez HTTP/1.1\r\n\r\n", 400, "", true},
	{"no colon", "GET /livez HTTP/1.1\r\nHost x\r\n\r\n", 400, "", true},
	{"no name", "GET /livez HTTP/1.1\r\nHost: x\r\n: y\r\n\r\n", 400, "", true},
	{"space before colon", "GET /livez HTTP/1.1\r\nHost : x\r\n\r\n", 400, "", true},
	{"obs-fold", "GET /livez HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n", 400, "400 Bad Request: folded header\n", true},
	{"fold at once", "GET /livez HTTP/1.1\r\n Host: x\r\n\r\n", 400, "", true},
	{"bare CR in value", "GET /livez HTTP/1.1\r\nHost: x\r\nA: b\rc\r\n\r\n", 400, "", true},
	{"CR CR LF", "GET /livez HTTP/1.1\r\nHost: x\r\n\r\r\n\r\n", 400, "", true},
	{"NUL in value", "GET /livez HTTP/1.1\r\nHost: x\r\nA: \x00\r\n\r\n", 400, "", true},
	{"DEL in value", "GET /livez HTTP/1.1\r\nHost: x\r\nA: \x7f\r\n\r\n", 400, "", true},
	{"Content-Length and chunked", "GET /livez HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, "", true},
	{"two Content-Lengths", "GET /livez HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n", 400, "", true},
	{"Content-Length list", "GET /livez HTTP/1.1\r\nHost: x\r\nContent-Length: 0, 0\r\n\r\n", 400, "", true},
	{"Content-Length sign", "GET /livez HTTP/1.1\r\nHost: x\r\nContent-Length: +0\r\n\r\n", 400, "", true},
	{"Content-Length empty", "GET /livez HTTP/1.1\r\nHost: x\r\nContent-Length:\r\n\r\n", 400, "", true},
	{"Content-Length huge", "GET /livez HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n", 400, "", true},
	{"two codings", "GET /livez HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", 400, "", true},
	{"chunked in 1.0", "GET /livez HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400, "", true},

	{"unknown", "GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n", 404, notFound, false},
	{"root", "GET / HTTP/1.1\r\nHost: x\r\n\r\n", 503, notReady, false},
	{"root, excluded", "GET /?exclude=ready-1 HTTP/1.1\r\nHost: x\r\n\r\n", 200, "ok", false},
	{"OPTIONS", "OPTIONS /livez HTTP/1.1\r\nHost: x\r\n\r\n", 200, "ok", false},
	{"OPTIONS, as HAProxy's", "OPTIONS / HTTP/1.0\r\n\r\n", 503, notReady, true},
	{"OPTIONS *", "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", 503, notReady, false},
	{"OPTIONS, failing", "OPTIONS /readyz HTTP/1.1\r\nHost: x\r\n\r\n", 503, notReady, false},
	{"OPTIONS, one check", "OPTIONS /readyz/app HTTP/1.1\r\nHost: x\r\n\r\n", 200, "ok", false},
	{"OPTIONS, unknown", "OPTIONS /nowhere HTTP/1.1\r\nHost: x\r\n\r\n", 404, notFound, false},
	{"OPTIONS with body", "OPTIONS /livez HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi", 200, "ok", true},
	{"options", "options /livez HTTP/1.1\r\nHost: x\r\n\r\n", 405, "", false},
	{"trailing slash", "GET /livez/ HTTP/1.1\r\nHost: x\r\n\r\n", 404, "", false},
	{"one check", "GET /readyz/app HTTP/1.1\r\nHost: x\r\n\r\n", 200, "ok", false},
	{"one check, failing", "GET /readyz/ready-1 HTTP/1.1\r\nHost: x\r\n\r\n", 503, "[-]ready-1 failed: connection refused\nreadyz check failed\n", false},
	{"one check, verbose", "GET /readyz/stop?verbose HTTP/1.1\r\nHost: x\r\n\r\n", 200, "[+]stop ok\nreadyz check passed\n", false},
	{"one check, POST", "POST /readyz/app HTTP/1.1\r\nHost: x\r\n\r\n", 405, "", false},
	{"no such check", "GET /readyz/ready-2 HTTP/1.1\r\nHost: x\r\n\r\n", 404, "", false},
	{"below a check", "GET /readyz/app/x HTTP/1.1\r\nHost: x\r\n\r\n", 404, "", false},
	{"dots", "GET /x/../livez HTTP/1.1\r\nHost: x\r\n\r\n", 404, "", false},
	{"NUL escaped", "GET /livez%00 HTTP/1.1\r\nHost: x\r\n\r\n", 404, "", false},
	{"plus in path", "GET /livez+ HTTP/1.1\r\nHost: x\r\n\r\n", 404, "", false},
	{"POST, unknown", "POST /nowhere HTTP/1.1\r\nHost: x\r\n\r\n", 404, "", false},

	{"POST", "POST /livez HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", 405, "405 Method Not Allowed\n", false},
	{"POST with body", "POST /livez HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\nhi", 405, "", true},
	{"lower-case get", "get /livez HTTP/1.1\r\nHost: x\r\n\r\n", 405, "", false},
	{"CONNECT", "CONNECT h:443 HTTP/1.1\r\nHost: h:443\r\n\r\n", 405, "", true},

	{"long target", "GET /" + strings.Repeat("a", maxTarget) + " HTTP/1.1\r\nHost: x\r\n\r\n", 414, "", true},
	{"endless target", "GET /" + strings.Repeat("a", 100_000), 414, "", true},
	{"large header", "GET /livez HTTP/1.1\r\nHost: x\r\nA: " + strings.Repeat("a", maxHead) + "\r\n\r\n", 431, "", true},
	{"many headers", "GET /livez HTTP/1.1\r\nHost: x\r\n" + strings.Repeat("A: b\r\n", 20_000), 431, "", true},
	{"coding", "GET /livez HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n", 501, "", true},
	{"panic", "GET /boom HTTP/1.1\r\nHost: x\r\n\r\n", 500, "500 Internal Server Error\n", true},
	{"HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, "", true},
	{"unfinished", "GET /livez HTTP/1.1\r\nHost: x\r\n", 408, "", true},
	{"unfinished line", "G", 408, "", true},
}

func TestStatus(t *testing.T) {
	addr, _ := start(t, func(s *Server) { s.limits.request = 50 * time.Millisecond })
	for _, tt := range statusTests {
		t.Run(tt.name, func(t *testing.T) {
			before := time.Now().Truncate(time.Second)
			res, body, closed := exchange(t, addr, tt.raw)
			if res.StatusCode != tt.status || closed != tt.closed {
				t.Fatalf("got %d, closed %v; want %d, %v (%q)", res.StatusCode, closed, tt.status, tt.closed, body)
			}
			if want := fmt.Sprintf("%d %s", tt.status, statusText(tt.status)); res.Status != want || res.Proto != "HTTP/1.1" {
				t.Errorf("status line %q %q", res.Proto, res.Status)
			}
			if tt.body != "" && body != tt.body {
				t.Errorf("body %q, want %q", body, tt.body)
			}
			wantHeader(t, res.Header, "Content-Type", "text/plain; charset=utf-8")
			wantHeader(t, res.Header, "X-Content-Type-Options", "nosniff")
			wantHeader(t, res.Header, "Cache-Control", "no-store")
			allow := ""
			if tt.status == 405 || strings.HasPrefix(tt.raw, "OPTIONS ") {
				allow = "GET, HEAD, OPTIONS"
			}
			wantHeader(t, res.Header, "Allow", allow)
			switch head := strings.HasPrefix(tt.raw, "HEAD "); {
			case head && (body != "" || res.ContentLength <= 0):
				t.Errorf("HEAD: body %q, Content-Length %d", body, res.ContentLength)
			case !head && res.ContentLength != int64(len(body)):
				t.Errorf("Content-Length %d for %q", res.ContentLength, body)
			}
			if date, err := http.ParseTime(res.Header.Get("Date")); err != nil || date.Before(before) || date.After(time.Now()) {
				t.Errorf("Date %q", res.Header.Get("Date"))
			}
		})
	}
}

func wantHeader(t *testing.T, h http.Header, name, want string) {
	t.Helper()
	if got := strings.Join(h.Values(name), "|"); got != want {
		t.Errorf("%s: %q, want %q", name, got, want)
	}
}

// TestHead: the header is that of GET, byte for byte.
func TestHead(t *testing.T) {
	addr, _ := start(t, nil)
	for _, path := range []string{"/livez", "/livez?verbose", "/readyz", "/nowhere"} {
		var got [2]string
		for i, method := range []string{"GET", "HEAD"} {
			c := dial(t, addr)
			io.WriteString(c, method+" "+path+" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
			b, err := io.ReadAll(c)
			if err != nil {
				t.Fatal(err)
			}
			head, body, _ := strings.Cut(string(b), "\r\n\r\n")
			if method == "HEAD" && body != "" {
				t.Errorf("%s: HEAD has a body: %q", path, body)
			}
			before, date, _ := strings.Cut(head, "Date: ")
			got[i] = before + date[len(http.TimeFormat):]
		}
		if got[0] != got[1] {
			t.Errorf("%s: GET %q, HEAD %q", path, got[0], got[1])
		}
	}
}

// TestAnyStatusHasText: statusText panics for an unknown status.
func TestAnyStatusHasText(t *testing.T) {
	seen := map[int]bool{}
	for _, tt := range statusTests {
		seen[tt.status] = true
		if statusText(tt.status) != http.StatusText(tt.status) && tt.status != 414 {
			t.Errorf("%d: %q, net/http has %q", tt.status, statusText(tt.status), http.StatusText(tt.status))
		}
	}
	for _, status := range []int{200, 400, 404, 405, 408, 414, 431, 500, 501, 503, 505} {
		if !seen[status] {
			t.Errorf("no test has status %d", status)
		}
	}
}
