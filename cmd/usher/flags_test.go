package main_test

import (
	"io"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// Every mistake is reported, all of them at once, and nothing is started.
func TestEveryMistakeAtOnce(t *testing.T) {
	eachBuild(t, func(t *testing.T, b *build) {
		u := command(t, b, "--term-delay", "10", "--nonsense", "--rewrite", "TERM:NOPE", "-r", "x", "-r", "KILL:TERM", "--ready-check", "ftp://x",
			"--ready-period=0s", "--health-addr", "db:99999", "--grace-period=-1s", "-Z", "-q", "-v", "--", "sh", "-c", "echo started")
		u.cmd.Env = append(u.cmd.Env, "USHER_READY_TIMEOUT=soon", "USHER_READY_FAILURE_THRESHOLD=0")
		u.begin().want(125)
		out := u.stderr.String()
		for _, says := range []string{
			`--term-delay: "10" has no unit: for seconds, 10s`, `unknown flag: --nonsense`, `"TERM:NOPE"`, `rewrite "x": want FROM:TO`, `usher never forwards SIGKILL`,
			`ftp`, `--health-addr "db:99999": port "99999"`, `--grace-period -1s`, `--ready-period 0s`, `unknown flag: -Z`, `choose one`,
			`USHER_READY_TIMEOUT: "soon" is not a duration`, `--ready-failure-threshold 0`, `usher: hint: `,
		} {
			if !strings.Contains(out, says) {
				t.Errorf("%q is not in:\n%s", says, out)
			}
		}
		if strings.Contains(out, "--ready-timeout 0s") {
			t.Errorf("a value that could not be read is judged as well:\n%s", out)
		}
		for line := range strings.Lines(out) {
			if !strings.HasPrefix(line, "usher: error: ") && !strings.HasPrefix(line, "usher: hint: ") {
				t.Errorf("odd line: %q", line)
			}
		}
		if u.stdout.String() != "" {
			t.Errorf("something was started: %q", &u.stdout)
		}
	})
}

func TestUsageErrors(t *testing.T) {
	for _, c := range []struct {
		args string
		says string
	}{
		{"", "no command given"},
		{"--", "no command given"},
		{"--term-delay", "flag needs a value: --term-delay"},
		{"--term-delay 30s --grace-period 30s -- true", "--grace-period 30s is too short: --term-delay 30s + writing the reason 500ms: 30.5s, and the app needs time to stop"},
		{"--term-delay -1s -- true", "--term-delay -1s: must not be negative"},
		{"--rewrite TERM:QUIT --rewrite 15:INT -- true", "SIGTERM is rewritten already"},
		{"--probe livez", "needs usher's address in --health-addr or USHER_HEALTH_ADDR"},
		{"--probe nonsense", "nonsense"},
		{"--probe tcp://127.0.0.1:1 -- true", "--probe starts no command"},
		{"--ready-success-threshold many -- true", `--ready-success-threshold: "many" is not a whole number`},
		{"--health-addr db:80 -- true", `--health-addr "db:80": "db" is not an IP address`},
		{"--probe livez --health-addr 8086", `--health-addr "8086": write it with a colon: ":8086"`},
	} {
		u := start(t, &made, strings.Fields(c.args)...)
		if code := u.wait(); code != 125 || !strings.Contains(u.stderr.String(), c.says) {
			t.Errorf("usher %s: %d, %q", c.args, code, &u.stderr)
		}
	}
}

// Parsing stops at the first word that is no flag: the rest is the app's, "--"
// in it as well.
func TestTheRestIsTheApps(t *testing.T) {
	for _, c := range []struct{ args, prints string }{
		{"echo -g --term-delay", "-g --term-delay\n"},
		{"-- echo -- -g", "-- -g\n"},
		{"-g printf %s --help", "--help"},
		{"--term-delay 1s echo -n x", "x"},
		{"-rTERM:INT echo y", "y\n"},
		{"-gr TERM:INT echo z", "z\n"},
	} {
		u := start(t, &made, strings.Fields(c.args)...)
		u.want(0)
		if u.stdout.String() != c.prints {
			t.Errorf("usher %s: %q, want %q", c.args, &u.stdout, c.prints)
		}
	}
}

// A flag beats its variable. A repeatable flag takes a value a line. The app
// sees no USHER_ variable. A name that belongs to no flag is logged, as it may
// be misspelt, except for the names that Kubernetes makes for the Services
// usher and usher-db.
func TestVariables(t *testing.T) {
	u := command(t, &made, "--term-delay", "0s", "--", "sh", "-c", "env | grep USHER; exit 3")
	u.cmd.Env = append(u.cmd.Env, "USHER_TERM_DELAY=nonsense", "USHER_REWRITE=TERM:QUIT\n\nUSR1:USR2\n", "USHER_GRACE_PERIOD=", "USHER_PROCESS_GROUP=true\n", "USHER_QUIET_PERIOD=\n",
		"USHER_SERVICE_HOST=10.0.0.1", "USHER_PORT=tcp://10.0.0.1:80", "USHER_DB_PORT_80_TCP_ADDR=10.0.0.1", "USHER_TERM_DELY=5s", "USHER_PROBE=livez")
	u.begin().want(3)
	const want = "usher: unknown variable USHER_TERM_DELY: ignored, and not passed to the app (did you mean USHER_TERM_DELAY?)\n" +
		"usher: unknown variable USHER_PROBE: ignored, and not passed to the app\n"
	if out := u.stdout.String() + u.stderr.String(); out != want {
		t.Errorf("printed %q", out)
	}

	u = command(t, &made, "--", "sh", "-c", trapAll())
	u.cmd.Env = append(u.cmd.Env, "USHER_REWRITE=HUP:USR1\nTERM:QUIT")
	u.begin().printed("ready\n")
	u.signal(1)
	u.printed("got 10.\n")
	u.signal(15)
	u.printed("got 3.\n")

	u = command(t, &made, "--", "true")
	u.cmd.Env = append(u.cmd.Env, "USHER_TERM_DELAY=soon", "USHER_REWRITE=TERM:QUIT\nnonsense")
	u.begin().want(125)
	for _, says := range []string{`USHER_TERM_DELAY: "soon" is not a duration`, `USHER_REWRITE: rewrite "nonsense"`} {
		if !strings.Contains(u.stderr.String(), says) {
			t.Errorf("%q is not in:\n%s", says, &u.stderr)
		}
	}
}

// The environment is passed on as it is: duplicates, order, empty values, what
// means something to Go.
func TestEnvironment(t *testing.T) {
	eachBuild(t, func(t *testing.T, b *build) {
		want := []string{"A=1", "PATH=/bin", "B=", "A=2", "GOGC=off", "G=", "GOOSE", "no name", "GODEBUG=x=1"}
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		// Not through os/exec, which drops duplicates itself.
		p, err := os.StartProcess(b.path, []string{"usher", "--", "/bin/cat", "/proc/self/environ"}, &os.ProcAttr{Env: want, Files: []*os.File{nil, w, w}})
		if err != nil {
			t.Fatal(err)
		}
		w.Close()
		out, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		p.Wait()
		if got := strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00"); !slices.Equal(got, want) {
			t.Errorf("environment: %q, want %q", got, want)
		}
	})
}

func TestHelpAndVersion(t *testing.T) {
	u := commandHere(t, &made, "--help", "all").begin()
	u.want(0)
	if !strings.Contains(u.stdout.String(), "--startup-check") || u.stderr.String() != "" {
		t.Errorf("usher --help all: %q, %q", &u.stdout, &u.stderr)
	}
	for _, c := range []struct{ arg, prints string }{{"--help", "--term-delay"}, {"-h", "USHER_TERM_DELAY"}} {
		u := commandHere(t, &made, c.arg).begin()
		u.want(0)
		if out := u.stdout.String(); !strings.Contains(out, c.prints) || strings.Contains(out, "--startup-check") || u.stderr.String() != "" {
			t.Errorf("usher %s: %q, %q", c.arg, &u.stdout, &u.stderr)
		}
	}
	// The builds of these tests are no releases, and say so.
	eachBuild(t, func(t *testing.T, b *build) {
		source := "os/signal"
		if b.complete {
			source = "the kernel's queue"
		}
		u := commandHere(t, b, "--version").begin()
		u.want(0)
		want := regexp.MustCompile("^usher \\S+, not a release \\(" + regexp.QuoteMeta(strings.Fields(runtime.Version())[0]) + "\\S*, signals from " + source + "\\)\n(without .*\n)?$")
		if !want.MatchString(u.stdout.String()) || u.stderr.String() != "" {
			t.Errorf("%q, %q, want %s", &u.stdout, &u.stderr, want)
		}
	})
}
