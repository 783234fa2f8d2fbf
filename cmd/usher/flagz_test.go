package main

import (
	"strings"
	"testing"
)

func TestPublic(t *testing.T) {
	for _, c := range []struct{ flag, value, want string }{
		{"check-header", "Authorization: Bearer abc", "Authorization: (hidden)"},
		{"ready-check", "http://127.0.0.1:80/", "http://127.0.0.1:80/"},
		{"ready-check", "http://me:secret@127.0.0.1/a@b", "http://(hidden)@127.0.0.1/a@b"},
		{"pre-stop", "exec:curl -d x http://a:b@c/ https://d@e?f@g", "exec:curl -d x http://(hidden)@c/ https://(hidden)@e?f@g"},
		{"user", "a@b", "a@b"},
		{"term-delay", "10s", "10s"},
		{"pre-start", "echo a\nb", "echo a b"},
	} {
		if got := public(c.flag, c.value); got != c.want {
			t.Errorf("%s %q: got %q, want %q", c.flag, c.value, got, c.want)
		}
	}
}

// Whatever a value is, the credentials of its URLs are not shown.
func FuzzPublic(f *testing.F) {
	f.Add("exec:a http://", "me:secret", "host/path")
	f.Fuzz(func(t *testing.T, before, user, after string) {
		if user == "" || strings.ContainsAny(user, "/?# \"'@") || strings.Contains(before+after, user) || strings.Contains(hidden, user) {
			return
		}
		if got := public("ready-check", before+"://"+user+"@"+after); strings.Contains(got, "://"+user+"@") {
			t.Errorf("%q", got)
		}
	})
}

// Each setting has a line, with its default.
func TestFlagzDefaults(t *testing.T) {
	o, err := parse(nil, []string{"--", "app"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	got := string(o.flagz(nil))
	for _, want := range []string{"term-delay=0s (default)\n", "stop-signals=TERM (default)\n", "restart=no (default)\n", "on-unhealthy=report (default)\n",
		"check-header= (default)\n", "ready-failure-threshold=3 (default)\n", "termination-log=/dev/termination-log (default)\n", "rewrite= (default)\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	o, err = parse(nil, []string{"--term-delay", "5s", "--live-check", "tcp://a:1", "--live-check", "tcp://b:2", "--", "app"},
		[]string{"USHER_TERM_DELAY=6s", "USHER_STOP_SIGNALS=QUIT", "USHER_GRACE_PERIOD="})
	if err != nil {
		t.Fatal(err)
	}
	got = string(o.flagz(nil))
	for _, want := range []string{"term-delay=5s (flag)\n", "live-check=tcp://a:1 (flag)\nlive-check=tcp://b:2 (flag)\n", "stop-signals=QUIT (USHER_STOP_SIGNALS)\n", "grace-period=0s (default)\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	if strings.Contains(got, "plan=") || strings.Contains(got, "version=") {
		t.Errorf("what is no setting is there: %s", got)
	}
}
