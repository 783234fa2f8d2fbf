package main_test

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"golang.org/x/sys/unix"
)

// schema compiles one of docs/reference.
func schema(t *testing.T, name string) *jsonschema.Schema {
	t.Helper()
	s, err := jsonschema.NewCompiler().Compile("../../docs/reference/" + name + ".schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// valid holds JSON against a schema.
func valid(t *testing.T, s *jsonschema.Schema, text string) map[string]any {
	t.Helper()
	v, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	if err == nil {
		err = s.Validate(v)
	}
	if err != nil {
		t.Errorf("%v\n%s", err, text)
	}
	object, _ := v.(map[string]any)
	return object
}

// What happens in the life of a container: the log, the last word and the
// timeline tell the same, in the form that the reference promises.
func TestEvents(t *testing.T) {
	log, word, line := schema(t, "log"), schema(t, "last-word"), schema(t, "timeline")
	dir := t.TempDir()
	ready := filepath.Join(dir, "ready")
	for _, c := range []struct {
		name  string
		flags []string
		app   string
		stop  bool
		code  int
		want  string // the events, as the log has them
	}{
		{name: "stop", stop: true, code: 143, app: "touch " + ready + "; echo ready; exec sleep 60", flags: []string{"--pre-start", "true",
			"--startup-check", "file:" + ready, "--startup-period", "20ms", "--ready-check", "file:" + ready, "--ready-period", "20ms",
			"--term-delay", "200ms", "--pre-stop", "exec:true", "--grace-period", "30s"},
			want: "command-started hook-succeeded app-started started-up ready held command-started hook-succeeded app-signalled signal-forwarded ended orphans-reaped timeline"},
		{name: "restart", code: 3, app: "exit 3", flags: []string{"--restart", "on-failure", "--restart-max", "1"},
			want: "app-started restart app-started ended orphans-reaped timeline"},
		{name: "not there", code: 127, app: "", flags: []string{"--", "/no/such/app"}, want: "start-failed orphans-reaped timeline"},
		{name: "hook", code: 7, app: "exec sleep 60", flags: []string{"--pre-start", "sh -c 'echo why; exit 7'"},
			want: "command-started hook-failed stragglers-signalled orphans-reaped timeline"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			file := newLog(t)
			flags := append([]string{"-v", "--log-format", "json", "--termination-format", "json", "--termination-log", file}, c.flags...)
			if c.app != "" {
				flags = append(flags, "--", "sh", "-c", c.app)
			}
			u := start(t, &made, flags...)
			if c.stop {
				u.logged(`"event":"ready"`)
				u.signal(unix.SIGTERM)
			}
			u.want(c.code)
			var names []string
			for text := range strings.Lines(u.stderr.String()) {
				if name, ok := valid(t, log, text)["event"].(string); ok && name != "detail" {
					names = append(names, name)
				}
			}
			if got := strings.Join(names, " "); got != c.want {
				t.Errorf("got %s\nwant %s\n%s", got, c.want, &u.stderr)
			}
			last := valid(t, word, readLog(t, file))
			events, err := json.Marshal(map[string]any{"began": "2026-01-02T03:04:05.006Z", "events": last["timeline"]})
			if err != nil {
				t.Fatal(err)
			}
			valid(t, line, string(events))
		})
	}
}

// The pages of the endpoints: what has happened, what is, and what was set. No
// secret is shown.
func TestPages(t *testing.T) {
	addr := freePort(t)
	u := commandHere(t, &made, "--health-addr", addr, "--check-header", "Authorization: Bearer secret", "--ready-period", "20ms",
		"--ready-check", "exec:true http://me:secret@host/", "--", "sh", "-c", "echo here; exec sleep 60")
	u.cmd.Env = append(u.cmd.Env, "USHER_TERM_DELAY=7s")
	u.begin()
	u.logged("usher: ready after ")
	read := func(path string) string { return get(t, "http://"+addr+path, 200) }
	text := read("/timeline")
	if want := regexp.MustCompile(`^ +0\.\d{3}s started "sh", pid \d+\n +\d+\.\d{3}s ready after .*\n$`); !want.MatchString(text) {
		t.Errorf("/timeline:\n%s", text)
	}
	page := valid(t, schema(t, "timeline"), read("/timeline?format=json"))
	began, err := time.Parse(time.RFC3339, fmt.Sprint(page["began"]))
	if err != nil || time.Since(began) > time.Minute || time.Since(began) < 0 {
		t.Errorf("began: %v", page["began"])
	}
	status := read("/statusz")
	for _, want := range []string{"usher statusz\nWarning: This endpoint is not meant to be machine parseable", "\nStarted: ", "\nUp: 0 hr 00 min ",
		"\nGo version: go", "\nBinary version: ", "\nPaths: /flagz ", "\nPhase: running, for ", "\nApp: pid ", "\nRestarts: 0\n", "\nCheck ready-1: ok; "} {
		if !strings.Contains(status, want) {
			t.Errorf("no %q in\n%s", want, status)
		}
	}
	flags := read("/flagz")
	for _, want := range []string{"usher flagz\nWarning: ", "\nterm-delay=7s (USHER_TERM_DELAY)\n", "\nready-period=20ms (flag)\n", "\nlive-period=10s (default)\n",
		"\ncheck-header=Authorization: (hidden) (flag)\n", "\nready-check=exec:true http://(hidden)@host/ (flag)\n"} {
		if !strings.Contains(flags, want) {
			t.Errorf("no %q in\n%s", want, flags)
		}
	}
	for _, page := range []string{text, status, flags} {
		if strings.Contains(page, "secret") {
			t.Errorf("a secret is shown:\n%s", page)
		}
	}
	u.signal(unix.SIGTERM)
	u.logged("held back for 7s")
	u.signal(unix.SIGTERM)
	u.want(143)
}
