package main_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What people type wrong, and what usher says. All of it is one line a mistake, and nothing is started.
func TestMistakesAndTheirFixes(t *testing.T) {
	for _, c := range []struct{ env, args, says string }{
		{"", "--term-dely 1s -- true", "unknown flag: --term-dely (did you mean --term-delay?)"},
		{"", "--termdelay=1s -- true", "unknown flag: --termdelay (did you mean --term-delay?)"},
		{"", "--term_delay=1s -- true", "unknown flag: --term_delay (did you mean --term-delay?)"},
		{"", "--Ready-Perod=1s -- true", "unknown flag: --Ready-Perod (did you mean --ready-period?)"},
		{"", "--nonsense -- true", "unknown flag: --nonsense"},
		{"", "--term -- true", "unknown flag: --term"},
		{"", "-term-delay=1s -- true", "unknown flag: -term-delay: write --term-delay"},
		{"", "-user -- true", "unknown flag: -user: write --user"},
		{"", "-verzion", "unknown flag: -verzion (did you mean --version?)"},
		{"", "-gZ -- true", "unknown flag: -Z"},
		{"", "-gqZ -- true", "unknown flag: -Z"},
		{"", "--term-delay 10 -- true", `--term-delay: "10" has no unit: for seconds, 10s`},
		{"", "--term-delay=1d -- true", `--term-delay: "1d" is not a duration, such as 500ms, 10s, 1m30s or 1h`},
		{"", "--term-delay -- true", "flag needs a value: --term-delay"},
		{"", "-u -- true", "flag needs a value: -u"},
		{"", "--restart-max=x -- true", `--restart-max: "x" is not a whole number`},
		{"", "--no-new-privs=maybe -- true", `--no-new-privs: "maybe" is neither true nor false`},
		{"", "--ready-check htp://a/ -- true", `--ready-check: check "htp://a/": must begin with one of tcp, http, unix, file, exec, notify, https, grpc, grpcs, and a colon (did you mean http?)`},
		{"", "--ready-check HTTP://a/ -- true", "(did you mean http?)"},
		{"", "--ready-check localhost:80 -- true", `check "localhost:80": write tcp://localhost:80 or http://localhost:80/`},
		{"", "--wait-for db:5432 -- true", `--wait-for: check "db:5432": write tcp://db:5432 or http://db:5432/`},
		{"", "--ready-check 8080 -- true", `check "8080": write tcp://localhost:8080 or http://localhost:8080/`},
		{"", "--ready-check localhost:8080/health -- true", `check "localhost:8080/health": write http://localhost:8080/health`},
		{"", "--ready-check http://a/,tcp://b:1 -- true", "more than one check: write one a line in a variable, or give the flag again"},
		{"USHER_READY_CHECK=http://a/ tcp://b:1", "-- true", `USHER_READY_CHECK: check "http://a/ tcp://b:1": more than one check: write one a line`},
		{"USHER_READY_CHECK=file:/a, exec:true", "-- true", "more than one check"},
		{"", "--health-addr http://:8086 -- true", `--health-addr "http://:8086": no scheme belongs there: write ":8086"`},
		{"", "--rewrite SIGTRM:QUIT -- true", `--rewrite: rewrite "SIGTRM:QUIT": signal "SIGTRM": no such signal (did you mean SIGTERM?)`},
		{"", "-p hpu -- true", `-p: signal "hpu": no such signal (did you mean SIGHUP?)`},
		{"", "--probe ready", `--probe "ready": want livez, readyz, startupz, healthz or a check (did you mean readyz?)`},
		{"", "--probe foo", `--probe "foo": want livez, readyz, startupz, healthz or a check`},
		{"", "--on-unhealthy stop -- true", "--on-unhealthy stop: there is no --live-check, --startup-check or --watchdog"},
		{"", "--on-unhealthy stop --live-period 0s -- true", "--on-unhealthy stop: there is no"},
		{"USHER_TERM_DELAY=soon", "-- true", `USHER_TERM_DELAY: "soon" is not a duration, such as 500ms, 10s, 1m30s or 1h`},
	} {
		u := command(t, &made, strings.Fields(c.args)...)
		if c.env != "" {
			u.cmd.Env = append(u.cmd.Env, c.env)
		}
		u.begin().want(125)
		first, rest, _ := strings.Cut(u.stderr.String(), "\n")
		if !strings.HasPrefix(first, "usher: error: ") || !strings.Contains(first, c.says) || strings.Contains(first, "did you mean") && !strings.Contains(c.says, "did you mean") {
			t.Errorf("%s usher %s: %q, want %q in it", c.env, c.args, first, c.says)
		}
		if strings.Contains(first, "strconv") || strings.Contains(first, "time:") || !strings.HasSuffix(rest, "usher: hint: usher --help all lists the flags and their variables\n") {
			t.Errorf("%s usher %s:\n%s", c.env, c.args, &u.stderr)
		}
	}
}

// What looks like one of these mistakes, and is none.
func TestNoMistakes(t *testing.T) {
	for _, args := range []string{
		"--plan -gv -- true", "--plan -v=false -- true", "--plan -rTERM:INT -- true", "--plan -r=TERM:INT -- true", "--plan=true -q=0 --term-delay=1s -- true",
		"--plan --ready-check http://a/?next=,http://b/ -- true", "--plan --ready-check file:/a,b -- true", "--plan --wait-for tcp://localhost:80 -- true",
		"--plan --on-unhealthy stop --ready-check notify: -- true", "--plan --on-unhealthy stop --watchdog 5s -- true", "--plan --on-unhealthy report -- true",
	} {
		if u := start(t, &made, strings.Fields(args)...); u.wait() != 0 || strings.Contains(u.stderr.String(), "error") {
			t.Errorf("usher %s: %s", args, &u.stderr)
		}
	}
	u := start(t, &made, "--plan", "--ready-check", "exec:curl http://a/ , http://b/", "--", "true")
	u.want(0)
}

// A misspelt variable may be meant for the app: its line in the log says what it may have been meant to be.
func TestMisspeltVariables(t *testing.T) {
	u := command(t, &made, "--", "true")
	u.cmd.Env = append(u.cmd.Env, "USHER_TERM_DELAI=5s", "USHER_READYCHECK=x", "USHER_X=1")
	u.begin().want(0)
	const want = "usher: unknown variable USHER_TERM_DELAI: ignored, and not passed to the app (did you mean USHER_TERM_DELAY?)\n" +
		"usher: unknown variable USHER_READYCHECK: ignored, and not passed to the app (did you mean USHER_READY_CHECK?)\n" +
		"usher: unknown variable USHER_X: ignored, and not passed to the app\n"
	if u.stderr.String() != want {
		t.Errorf("got %s", &u.stderr)
	}
	u = command(t, &made, "--log-format", "json", "--", "true")
	u.cmd.Env = append(u.cmd.Env, "USHER_TERM_DELAI=5s")
	u.begin().want(0)
	if !strings.Contains(u.stderr.String(), `"reason":"USHER_TERM_DELAI","meant":"USHER_TERM_DELAY"`) {
		t.Errorf("got %s", &u.stderr)
	}
}

// The hint names the variable that a wrong value comes from, and under another init's name the way to usher's settings.
func TestHints(t *testing.T) {
	u := command(t, &made, "--term-delay", "30s", "--", "true")
	u.cmd.Env = append(u.cmd.Env, "USHER_GRACE_PERIOD=20s", "USHER_QUIET=true")
	u.begin().want(125)
	if want := "usher: hint: --grace-period comes from USHER_GRACE_PERIOD\nusher: hint: usher --help all lists the flags and their variables\n"; !strings.HasSuffix(u.stderr.String(), want) || strings.Contains(u.stderr.String(), "--quiet ") {
		t.Errorf("got %s", &u.stderr)
	}
	called := build{path: filepath.Join(t.TempDir(), "tini")}
	if err := os.Symlink(made.path, called.path); err != nil {
		t.Fatal(err)
	}
	u = command(t, &called, "--term-delay=1s", "--", "true")
	u.begin().want(1)
	if want := "usher: error: unknown flag: --term-delay: write the variable USHER_TERM_DELAY\n" +
		"usher: hint: tini -h lists the flags; usher's own settings are variables, such as USHER_TERM_DELAY=10s\n"; u.stderr.String() != want {
		t.Errorf("got %s", &u.stderr)
	}
}
