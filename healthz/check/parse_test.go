package check

import (
	"net/url"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	for _, tt := range []struct{ spec, host, port, hostHeader, target string }{
		{"tcp://localhost:6379", "localhost", "6379", "", ""},
		{"tcp://10.0.0.1:1", "10.0.0.1", "1", "", ""},
		{"tcp://[::1]:65535", "::1", "65535", "", ""},
		{"tcp://[fe80::1%eth0]:80", "fe80::1%eth0", "80", "", ""},
		{"tcp://my_db-0.db.svc.cluster.local.:5432", "my_db-0.db.svc.cluster.local.", "5432", "", ""},
		{"http://localhost", "localhost", "80", "localhost", "/"},
		{"http://localhost/", "localhost", "80", "localhost", "/"},
		{"http://localhost:80/", "localhost", "80", "localhost:80", "/"},
		{"http://localhost:8080/health/ready?full=1&x=%20", "localhost", "8080", "localhost:8080", "/health/ready?full=1&x=%20"},
		{"http://localhost?x", "localhost", "80", "localhost", "/?x"},
		{"http://[::1]/x", "::1", "80", "[::1]", "/x"},
		{"http://[::1]:81/x", "::1", "81", "[::1]:81", "/x"},
		{"http://[fe80::1%eth0]:81", "fe80::1%eth0", "81", "[fe80::1]:81", "/"},
		{"http://[10.0.0.5]/", "10.0.0.5", "80", "10.0.0.5", "/"},
		{"http://[10.0.0.5]:81/x]", "10.0.0.5", "81", "10.0.0.5:81", "/x]"},
		{"tcp://[10.0.0.5]:1", "10.0.0.5", "1", "", ""},
		{"grpc://[10.0.0.5]:1/x", "10.0.0.5", "1", "", "x"},
		{"https://h/x", "h", "443", "h", "/x"},
		{"https://[::1]:8443", "::1", "8443", "[::1]:8443", "/"},
		{"grpc://h:50051", "h", "50051", "", ""},
		{"grpc://h:50051/app.v1.Store", "h", "50051", "", "app.v1.Store"},
		{"grpcs://[::1]:1/", "::1", "1", "", ""},
		{"http://127.0.0.1:/x", "127.0.0.1", "80", "127.0.0.1", "/x"},
		{"http://h/a:b@c/[d]//", "h", "80", "h", "/a:b@c/[d]//"},
		{"unix:///run/my app.sock", "", "", "", "/run/my app.sock"},
		{"unix:/run/app%20.sock", "", "", "", "/run/app%20.sock"},
		{"file:/ready", "", "", "", "/ready"},
		{"file:///ready ä", "", "", "", "/ready ä"},
	} {
		c, err := Parse(tt.spec)
		if err != nil {
			t.Error(err)
			continue
		}
		if c.host != tt.host || c.port != tt.port || c.hostHeader != tt.hostHeader || c.target != tt.target || c.String() != tt.spec {
			t.Errorf("%q: got %+v", tt.spec, *c)
		}
	}
}

const noKind = "must begin with one of tcp, http, unix, file, exec, notify, https, grpc, grpcs, and a colon"

func TestParseMistakes(t *testing.T) {
	for _, tt := range []struct{ spec, want string }{
		{"", noKind},
		{"localhost:6379", "write tcp://localhost:6379 or http://localhost:6379/"},
		{"/healthz", noKind},
		{"ftp://x", noKind},
		{"HTTP://x", noKind + " (did you mean http?)"},
		{"grpc://h", "no port"},
		{"grpc:h:1", `"grpc" must be followed by ://`},
		{"grpc://h:1/a/b", `"a/b" is not the name of a service`},
		{"grpcs://h:1?x", `"?x": want only a host and a port`},
		{"notify:x", `"x": notify: takes nothing more`},
		{"exec:", "no command given"},
		{"exec:  ", "no command given"},
		{"exec:a | b", `"|" is for a shell, and there is none: quote it, or run sh -c '...'`},
		{"localhost:6379/x y", noKind},
		{"redis:0", noKind},
		{"redis:redis", noKind},
		{"8080/healthz", "write http://localhost:8080/healthz"},
		{"tcp://a:1, tcp://b:2", errSeveral.Error()},
		{"http://a/;exec:true", errSeveral.Error()},
		{"unix:", `"" is not an absolute path`},
		{"unix", noKind},
		{"unix://run/x", `"run/x" is not an absolute path`},
		{"unix:///" + strings.Repeat("x", 107), "the path of a socket has at most 107 bytes, not 108"},
		{"file:x", `"x" is not an absolute path`},
		{"file:/x\x00", "a path cannot hold a NUL"},
		{"tcp:x:1", `"tcp" must be followed by ://`},
		{"http:/x", `"http" must be followed by ://`},
		{"tcp", noKind},
		{"tcp://", "no host"},
		{"tcp://x", "no port"},
		{"tcp://x:", "no port"},
		{"tcp://:6379", "no host"},
		{"tcp://x:0", `port "0" is not a number from 1 to 65535`},
		{"tcp://x:65536", `port "65536" is not a number from 1 to 65535`},
		{"tcp://x:redis", `port "redis" is not a number from 1 to 65535`},
		{"tcp://x:+1", `port "+1" is not a number from 1 to 65535`},
		{"tcp://x:1/", `"/": want only a host and a port`},
		{"tcp://::1:80", `host "::1:80": write an IPv6 address in brackets`},
		{"tcp://[::1:80", `host "[::1:80": no closing bracket`},
		{"tcp://[::1]80", `host "[::1]80": only a port may follow the bracket`},
		{"tcp://[127.0.0.256]:80", `host "127.0.0.256" is not an IP address`},
		{"tcp://[127.0.0.1]80", `host "[127.0.0.1]80": only a port may follow the bracket`},
		{"http://[127.0.0.1]80/", `host "[127.0.0.1]80": only a port may follow the bracket`},
		{"tcp://]:80", `host "]": "]" cannot be in a name`},
		{"tcp://[x]:80", `host "x" is not an IP address`},
		{"tcp://10.0.0.256:80", `host "10.0.0.256" is not an IPv4 address`},
		{"tcp://1234:80", `host "1234" is not an IPv4 address`},
		{"tcp://a*b:80", `host "a*b": "*" cannot be in a name`},
		{"http://", "no host"},
		{"http:///x", "no host"},
		{"http://u:p@h/", `"u:p@h": a user is not supported`},
		{"http://h/a b", `" " must be percent-encoded`},
		{"http://h/\r\nX: y", `"\r" must be percent-encoded`},
		{"http://h/ü", `"\xc3" must be percent-encoded`},
		{"http://h/#top", "a fragment (#) is never sent to a server; write %23 for a # in the path"},
		{"http://h/%zz", `"%zz" is not a percent escape`},
		{"http://h/%2", `"%2" is not a percent escape`},
	} {
		_, err := Parse(tt.spec)
		if err == nil {
			t.Errorf("%q: no error", tt.spec)
			continue
		}
		if _, got, _ := strings.Cut(err.Error(), ": "); got != tt.want && !strings.HasSuffix(err.Error(), ": "+tt.want) {
			t.Errorf("%q: got %s\nwant %s", tt.spec, err, tt.want)
		}
	}
	if _, err := Parse("a\nb"); err == nil || err.Error() != `check "a\nb": `+noKind {
		t.Error(err)
	}
}

// FuzzParse: an accepted check goes into a request, so nothing in it may end a
// line. net/url reads it as the same host and port.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{"tcp://localhost:6379", "http://[::1]:80/x?y", "http://h:/%41", "http://[fe80::1%25x]/", "exec:x", "tcp://1.2.3.4:5"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, spec string) {
		c, err := Parse(spec)
		if err != nil {
			if strings.ContainsAny(err.Error(), "\r\n\x00") {
				t.Errorf("%q: error of several lines: %q", spec, err)
			}
			return
		}
		if c.kind == kindUnix || c.kind == kindFile {
			if c.target[0] != '/' || strings.Contains(c.target, "\x00") {
				t.Fatalf("%q: got %+v", spec, *c)
			}
			return
		}
		if c.kind == kindNotify {
			return
		}
		if c.kind == kindExec {
			if len(c.argv) == 0 || strings.Contains(strings.Join(c.argv, ""), "\x00") {
				t.Fatalf("%q: got %q", spec, c.argv)
			}
			return
		}
		if c.host == "" || c.port == "" || strings.ContainsAny(c.host+c.port+c.hostHeader+c.target, " \r\n\t\x00#") {
			t.Fatalf("%q: got %+v", spec, *c)
		}
		if strings.Contains(c.host, "%") {
			return // a zone, which net/url wants percent-encoded
		}
		if strings.Contains(spec, "://[") && !strings.Contains(c.host, ":") {
			return // net/url takes no IPv4 address in brackets
		}
		u, err := url.Parse(spec)
		if err != nil {
			t.Fatalf("%q: net/url: %v", spec, err)
		}
		if u.Hostname() != c.host || u.Port() != c.port && u.Port() != "" {
			t.Errorf("%q: got %q %q, net/url has %q", spec, c.host, c.port, u.Host)
		}
	})
}
