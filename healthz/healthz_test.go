package healthz

import (
	"net/url"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestAnswer(t *testing.T) {
	good := []Result{{Name: "app"}, {Name: "ready-1"}}
	failing := []Result{{Name: "app"}, {Name: "ready-1", Failure: "HTTP 503"}, {Name: "stop", Failure: "in progress"}}
	for _, tt := range []struct {
		results []Result
		query   string
		want    string
		ok      bool
	}{
		{nil, "", "ok", true},
		{nil, "verbose", "readyz check passed\n", true},
		{good, "", "ok", true},
		{good, "verbose", "[+]app ok\n[+]ready-1 ok\nreadyz check passed\n", true},
		{good, "verbose=false", "[+]app ok\n[+]ready-1 ok\nreadyz check passed\n", true}, // the key counts, as in apiserver
		{good, "%76erbose=1&x=y", "[+]app ok\n[+]ready-1 ok\nreadyz check passed\n", true},
		{[]Result{{Name: "app", Note: "up\n[-]forged"}, {Name: "x", Failure: "y", Note: "z"}}, "verbose",
			"[+]app ok: up [-]forged\n[-]x failed: y\nreadyz check failed\n", false},
		{good, "Verbose", "ok", true},
		{good, "verbose;x", "ok", true},
		{good, "verbose=%zz", "ok", true},
		{good, "exclude=app", "ok", true},
		{good, "exclude=none", "ok", true},
		{good, "verbose&exclude=app", "[+]app excluded: ok\n[+]ready-1 ok\nreadyz check passed\n", true},
		{good, "verbose&exclude=z&exclude=b%22&exclude=app&exclude=z",
			"[+]app excluded: ok\n[+]ready-1 ok\nwarn: some health checks cannot be excluded: no matches for \"b\\\"\",\"z\"\nreadyz check passed\n", true},
		{failing, "", "[+]app ok\n[-]ready-1 failed: HTTP 503\n[-]stop failed: in progress\nreadyz check failed\n", false},
		{failing, "exclude=stop", "[+]app ok\n[-]ready-1 failed: HTTP 503\n[+]stop excluded: ok\nreadyz check failed\n", false},
		{failing, "exclude=stop&exclude=ready%2D1", "ok", true},
		{failing, "exclude=stop&exclude=ready-1&verbose", "[+]app ok\n[+]ready-1 excluded: ok\n[+]stop excluded: ok\nreadyz check passed\n", true},
	} {
		body, ok := appendAnswer(nil, "readyz", tt.results, parseQuery([]byte(tt.query)))
		if string(body) != tt.want || ok != tt.ok {
			t.Errorf("%q: got %q, %v\nwant %q, %v", tt.query, body, ok, tt.want, tt.ok)
		}
	}
}

func TestFailureIsOneLine(t *testing.T) {
	for _, tt := range []struct{ failure, want string }{
		{"plain", "plain"},
		{"ümläut “quoted”", "ümläut “quoted”"},
		{"a\nb\r\n[+]forged ok", "a b  [+]forged ok"},
		{"nul\x00 esc\x1b[31m del\x7f c1\u0085 ls\u2028 bidi\u202e", "nul  esc [31m del  c1  ls  bidi "},
		{"broken \xff\xfe utf-8 \xe2\x82", "broken \ufffd\ufffd utf-8 \ufffd\ufffd"},
		{strings.Repeat("a", 600), strings.Repeat("a", maxFailure-len("…")) + "…"},
		{strings.Repeat("ü", 600), strings.Repeat("ü", (maxFailure-len("…"))/2) + "…"},
	} {
		got := string(appendLine([]byte("x"), tt.failure))
		if got != "x"+tt.want {
			t.Errorf("%.40q: got %q, want %q", tt.failure, got, "x"+tt.want)
		}
	}
}

func FuzzFailureIsOneLine(f *testing.F) {
	f.Add("a\nb")
	f.Add("\xff\u2028")
	f.Fuzz(func(t *testing.T, failure string) {
		got := appendLine(nil, failure)
		if len(got) > maxFailure || !utf8.Valid(got) || strings.ContainsFunc(string(got), func(r rune) bool { return r < ' ' }) {
			t.Errorf("%q became %q", failure, got)
		}
	})
}

// FuzzQuery: the parser finds the same as net/url's, which apiserver uses.
func FuzzQuery(f *testing.F) {
	for _, seed := range []string{"", "verbose", "a=b&exclude=%41+b&verbose=1", "exclude=%zz", "exclude=a;b&&=&verbose"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		want, _ := url.ParseQuery(raw)
		got := parseQuery([]byte(raw))
		if got.verbose != want.Has("verbose") || !slices.Equal(got.exclude, want["exclude"]) {
			t.Errorf("%q: got %+v, net/url has %v", raw, got, want)
		}
	})
}
