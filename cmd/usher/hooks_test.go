package main_test

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

// quickly fails a test of something that should have ended at once.
func quickly(t *testing.T, begin time.Time) {
	t.Helper()
	if d := time.Since(begin); d > patience/2 {
		t.Errorf("it took %v", d)
	}
}

// word waits for the end with a code, and compares what the termination log says then.
func (u *usher) word(log string, code int, want string) {
	u.t.Helper()
	u.want(code)
	if word := readLog(u.t, log); !regexp.MustCompile(want).MatchString(word) {
		u.t.Errorf("termination log: %q, want %q\nstderr: %s", word, want, &u.stderr)
	}
}

// All of them in one life: in order, with the app's environment, their output in usher's log under their names.
func TestHooksThroughALife(t *testing.T) {
	eachBuild(t, func(t *testing.T, b *build) {
		file := filepath.Join(t.TempDir(), "file")
		note := func(what string) string {
			return fmt.Sprintf(`sh -c 'echo %s >> %s; echo said %s; echo $KEY >&2'`, what, file, what)
		}
		u := command(t, b, "--pre-start", note("one"), "--pre-start", "exec:"+note("two"), "--post-start", "exec:"+note("three"),
			"--pre-stop", "exec:"+note("five"), "--post-stop", "exec:"+note("seven"), "--",
			"sh", "-c", `trap "echo six >> $0; exit 42" TERM; while ! grep -q three $0; do sleep 0.01; done; echo four >> $0; echo up; while :; do sleep 0.01; done`, file)
		u.cmd.Env = append(u.cmd.Env, "KEY=the value")
		u.begin().printed("up\n")
		u.signal(unix.SIGTERM)
		u.want(42)
		if got := readLog(t, file); got != "one\ntwo\nthree\nfour\nfive\nsix\nseven\n" {
			t.Errorf("done: %q", got)
		}
		for name, said := range map[string]string{"pre-start-1": "one", "pre-start-2": "two", "post-start": "three", "pre-stop": "five", "post-stop": "seven"} {
			if want := name + ": said " + said + "\n" + name + ": the value\n"; !strings.Contains(u.stderr.String(), want) {
				t.Errorf("no %q in %s", want, &u.stderr)
			}
		}
		if out := u.stdout.String(); out != "up\n" {
			t.Errorf("stdout is the app's, and has %q", out)
		}
	})
}

func TestHookFailures(t *testing.T) {
	type failure struct {
		name string
		args []string
		code int
		word string // in the termination log
		log  string // in usher's
	}
	sleeper := []string{"--", "sh", "-c", `trap 'exit 9' TERM; while :; do sleep 0.01; done`}
	never := []string{"--", "sh", "-c", "echo the app was started"}
	for _, c := range []failure{
		{"pre-start", append([]string{"--pre-start", "sh -c 'echo cannot migrate; exit 3'"}, never...), 3, `^HookFailed: pre-start-1 failed: exit code 3: cannot migrate \(exit code 3\)\n`, "pre-start-1: cannot migrate\nusher: pre-start-1 failed: exit code 3: cannot migrate\n"},
		{"second pre-start", append([]string{"--pre-start", "true", "--pre-start", "false", "--pre-start", "echo no"}, never...), 1, `^HookFailed: pre-start-2 failed: exit code 1 \(exit code 1\)\n`, ""},
		{"pre-start not there", append([]string{"--pre-start", "no-such-program -x"}, never...), 127, `^HookFailed: pre-start-1 failed: cannot start "no-such-program": not found in PATH`, ""},
		{"pre-start killed", append([]string{"--pre-start", "sh -c 'kill -SEGV $$'"}, never...), 139, `^HookFailed: pre-start-1 failed: killed by SIGSEGV`, ""},
		{"pre-start hangs", append([]string{"--hook-timeout", "300ms", "--pre-start", "sh -c 'echo connecting; trap \"\" TERM; sleep 1000'"}, never...), 124,
			`^HookFailed: pre-start-1 failed: no end within 300ms: connecting \(exit code 124\)\n`, ""},
		{"post-start", append([]string{"-v", "--post-start", "exec:sh -c 'echo cannot register; exit 4'"}, sleeper...), 4,
			`^HookFailed: post-start failed: exit code 4: cannot register \(exit code 4\); uptime .*SIGTERM from usher \(post-start failed\), app gone`, "SIGTERM from usher (post-start failed) sent to the app as SIGTERM\n"},
		{"post-start hangs", append([]string{"--hook-timeout", "300ms", "--post-start", "exec:sleep 1000"}, sleeper...), 124,
			`^HookFailed: post-start failed: no end within 300ms \(exit code 124\)`, ""},
		{"wait", append([]string{"--wait-timeout", "600ms", "--wait-for", "tcp://127.0.0.1:1"}, never...), 124,
			`^WaitTimeout: wait-for failed: no end within 600ms: tcp://127.0.0.1:1: connection refused \(exit code 124\)\n`, "waiting for tcp://127.0.0.1:1: connection refused"},
		{"post-stop is run", append([]string{"--pre-start", "false", "--post-stop", "exec:echo cleaned up"}, never...), 1, `^HookFailed: pre-start-1`, "post-stop: cleaned up\n"},
		{"post-stop fails", []string{"--post-stop", "exec:sh -c 'echo no space; exit 1'", "--", "sh", "-c", "exit 8"}, 8,
			`^Error: exit code 8; uptime \S+; post-stop failed: exit code 1: no space; `, ""},
		{"app not there", []string{"--pre-start", "echo one", "--post-start", "exec:echo never", "--post-stop", "exec:echo cleaned up", "--", "/no/such/app"}, 127, `^StartError: `, "post-stop: cleaned up\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			log := newLog(t)
			begin := time.Now()
			u := start(t, &made, append([]string{"--termination-log", log}, c.args...)...)
			u.word(log, c.code, c.word)
			quickly(t, begin)
			if !strings.Contains(u.stderr.String(), c.log) {
				t.Errorf("log: %s", &u.stderr)
			}
			if out := u.stdout.String() + u.stderr.String(); strings.Contains(out, "the app was started") || strings.Contains(out, "never") {
				t.Errorf("it should not have come to that: %s", out)
			}
		})
	}
}

// A pre-stop hook that fails or hangs is reported, and the stop goes on.
func TestPreStopFailures(t *testing.T) {
	for name, c := range map[string]struct{ hook, word string }{
		"fails":  {"exec:sh -c 'echo no such service; exit 5'", `; pre-stop failed: exit code 5: no such service; `},
		"hangs":  {"exec:sh -c 'trap \"\" TERM; sleep 1000'", `; pre-stop failed: no end within 500ms; `},
		"http":   {"http://127.0.0.1:1/drain", `; pre-stop failed: connection refused; `},
		"flood":  {"exec:yes", `; pre-stop failed: no end within 500ms: y; `},
		"daemon": {"exec:sh -c 'setsid sleep 1000 & echo forked'", `app gone \S+ after SIGTERM`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			log := newLog(t)
			u := start(t, &made, "--termination-log", log, "--hook-timeout", "500ms", "--pre-stop", c.hook, "--", "sh", "-c", app, "0")
			u.printed("ready\n")
			begin := time.Now()
			u.signal(unix.SIGTERM)
			u.word(log, 42, c.word)
			quickly(t, begin)
		})
	}
}

// SIGTERM is obeyed at once whatever is at work; what is told ends as it likes, and there are no other signals for hooks.
func TestStopDuringHooks(t *testing.T) {
	hook := `sh -c 'trap "echo told; exit 0" TERM; echo begun; while :; do sleep 0.01; done'`
	deafHook := `sh -c 'trap "" TERM; echo begun; while :; do sleep 0.01; done'`
	never := []string{"--", "sh", "-c", "echo the app was started"}
	running := []string{"--", "sh", "-c", app, "0"}
	for _, c := range []struct {
		name, begun string
		args        []string
		code        int
		word, log   string
	}{
		{"wait-for", "waiting for tcp://127.0.0.1:1", append([]string{"--wait-for", "tcp://127.0.0.1:1"}, never...), 143,
			`^Signaled: SIGTERM from \S.* before the app was started, during wait-for tcp://127.0.0.1:1: connection refused \(exit code 143\)\n$`, ""},
		{"mapped", "waiting for tcp://127.0.0.1:1", append([]string{"--exit-code", "143=0", "--wait-for", "tcp://127.0.0.1:1"}, never...), 0, `^Signaled: `, ""},
		{"pre-start", "begun", append([]string{"--pre-start", hook}, never...), 143, `^Signaled: SIGTERM .* during pre-start-1`, "pre-start-1: told\n"},
		{"deaf pre-start", "begun", append([]string{"--straggler-grace", "300ms", "--pre-start", deafHook}, never...), 143, `^Signaled: .* during pre-start-1`, ""},
		{"post-start", "begun", append([]string{"--post-start", "exec:" + deafHook}, running...), 42, `^Error: exit code 42; .* app gone`, ""},
		{"pre-stop ends the hold", "begun", append([]string{"--hook-timeout", "1h", "--pre-stop", "exec:" + deafHook}, running...), 42, `^Error: exit code 42; .* app gone`, ""},
		{"post-stop", "begun", []string{"--hook-timeout", "1h", "--post-stop", "exec:" + deafHook, "--", "sh", "-c", "exit 7"}, 7, `^Error: exit code 7; uptime`, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			log := newLog(t)
			u := start(t, &made, append([]string{"--termination-log", log}, c.args...)...)
			switch c.name {
			case "post-start": // runs beside the app, which may be later
				u.printed("ready\n")
			case "pre-stop ends the hold":
				u.printed("ready\n")
				u.signal(unix.SIGTERM)
			}
			u.logged(c.begun)
			begin := time.Now()
			u.signal(unix.SIGTERM)
			if c.name == "post-stop" { // the first one begins to count, the second ends it
				u.signal(unix.SIGTERM)
				eventually(t, func() error {
					select {
					case <-u.done:
					default:
						u.cmd.Process.Signal(unix.SIGTERM)
						return fmt.Errorf("it goes on: %s", &u.stderr)
					}
					return nil
				})
			}
			u.word(log, c.code, c.word)
			quickly(t, begin)
			if !strings.Contains(u.stderr.String(), c.log) || strings.Contains(u.stdout.String(), "the app was started") {
				t.Errorf("stdout: %s\nstderr: %s", &u.stdout, &u.stderr)
			}
		})
	}
}

// Before there is an app its signals are kept for it, zombies are reaped, the endpoints say what is going on, and Ctrl-C works.
func TestBeforeTheApp(t *testing.T) {
	eachBuild(t, func(t *testing.T, b *build) {
		go1, health := filepath.Join(t.TempDir(), "go"), freePort(t)
		// An orphan's number stays taken until it is reaped.
		hook := fmt.Sprintf(`bash -c '
pid=$(sleep 0.1 >/dev/null & echo $!)
echo begun
while kill -0 $pid 2>/dev/null; do sleep 0.01; done
echo reaped
while [ ! -e %s ]; do sleep 0.01; done'`, go1)
		u := start(t, b, "--health-addr", health, "--pre-start", hook, "--", "sh", "-c", trapAll())
		u.logged("reaped")
		if body := get(t, "http://"+health+"/readyz", 503); !strings.Contains(body, "[-]app failed: pre-start-1 is running\n") {
			t.Errorf("readyz: %s", body)
		}
		get(t, "http://"+health+"/startupz", 503)
		get(t, "http://"+health+"/livez", 200)
		u.signal(unix.SIGUSR1)
		u.signal(unix.SIGHUP)
		if err := os.WriteFile(go1, nil, 0o644); err != nil {
			t.Fatal(err)
		}
		// bash may get them before its traps are there: then they kill it, as they would without usher.
		if code := u.waitOr("ready\n"); code != 0 && code != 128+10 && code != 128+1 {
			t.Errorf("exit code %d: the signals did not reach the app", code)
		}

		u = start(t, b, "--wait-for", "tcp://127.0.0.1:1", "--", "true")
		u.logged("waiting for")
		u.signal(unix.SIGINT)
		u.want(130)
	})
}

// waitOr returns the exit code, or 0 once something has been printed.
func (u *usher) waitOr(text string) (code int) {
	u.t.Helper()
	eventually(u.t, func() error {
		select {
		case <-u.done:
			code = u.wait()
			return nil
		default:
		}
		if strings.Contains(u.stdout.String(), text) {
			return nil
		}
		return fmt.Errorf("neither the end nor %q", text)
	})
	return code
}

// The kept signals arrive, each once and in order: to an app that has them blocked until it is ready for them.
func TestKeptSignals(t *testing.T) {
	go1 := filepath.Join(t.TempDir(), "go")
	u := start(t, &made, "--pre-start", "sh -c 'echo begun; while [ ! -e "+go1+" ]; do sleep 0.01; done'", "--", receiver)
	u.logged("begun")
	for range 200_000 { // a flood makes usher no larger
		u.signal(unix.SIGWINCH)
	}
	if r := u.resources(); made.complete && r.privateKB > 1500 {
		t.Errorf("usher has written to %d kB", r.privateKB)
	}
	for i := range 50 {
		if err := sigqueue(u.cmd.Process.Pid, 40, uint64(i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(go1, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if code := u.waitOr("40 -1 0 49\n"); code != 0 && code != 128+40 {
		t.Errorf("exit code %d", code)
	}
}

func TestWaitFor(t *testing.T) {
	eachBuild(t, func(t *testing.T, b *build) {
		first, second := freePort(t), freePort(t)
		u := start(t, b, "--wait-for", "tcp://"+first, "--wait-for", "http://"+second+"/ready", "--", "sh", "-c", "echo started; exit 6")
		u.logged("waiting for tcp://" + first + ": connection refused")
		l, err := net.Listen("tcp", first)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		u.logged("waiting for http://" + second + "/ready: connection refused")
		if u.stdout.String() != "" {
			t.Errorf("stdout: %s", &u.stdout)
		}
		l2, err := net.Listen("tcp", second)
		if err != nil {
			t.Fatal(err)
		}
		server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {})}
		go server.Serve(l2)
		defer server.Close()
		u.want(6)
		u.printed("started\n")
	})
}

// Where no app has ever run, nothing but usher's own children is told of the end: not the group that usher itself is in.
func TestOthersAreLeftAlone(t *testing.T) {
	u := commandHere(t, &made, "--wait-for", "tcp://127.0.0.1:1", "--wait-timeout", "100ms", "--", "true")
	u.cmd.Args = append([]string{"bash", "-c", `"$@"; echo "survived $?"`, "bash", made.path}, u.cmd.Args[1:]...)
	u.cmd.Path = "/bin/bash"
	u.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // it would hit this test as well
	u.begin().want(0)
	if out := u.stdout.String(); out != "survived 124\n" {
		t.Errorf("stdout: %q", out)
	}
}

// Requests as hooks.
func TestHTTPHooks(t *testing.T) {
	asked := make(chan string, 10)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked <- r.Method + " " + r.URL.String()
		if r.URL.Path == "/bad" {
			w.WriteHeader(500)
		}
	}))
	defer server.Close()
	u := start(t, &made, "--post-start", server.URL+"/up?a=b", "--pre-stop", server.URL+"/bad", "--post-stop", server.URL+"/gone", "--", "sh", "-c", app, "0")
	u.printed("ready\n")
	if got := <-asked; got != "GET /up?a=b" {
		t.Errorf("post-start asked for %s", got)
	}
	u.signal(unix.SIGTERM)
	u.want(42)
	if got := <-asked + ", " + <-asked; got != "GET /bad, GET /gone" {
		t.Errorf("the others asked for %s", got)
	}
	u.logged("pre-stop failed: HTTP 500 Internal Server Error")
}

// A hook that writes much has all of it in the log; a reader of the log that stalls stalls the hook, and nothing else.
func TestHookOutput(t *testing.T) {
	u := start(t, &made, "--pre-start", "seq 20000", "--", "sh", "-c", app, "0")
	u.printed("ready\n")
	u.signal(unix.SIGTERM)
	u.want(42)
	if n := strings.Count(u.stderr.String(), "pre-start-1: "); n != 20000 || !strings.Contains(u.stderr.String(), "pre-start-1: 20000\n") {
		t.Errorf("%d lines", n)
	}

	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	u = command(t, &made, "--post-start", "exec:yes", "--", "sh", "-c", app, "0")
	u.cmd.Stderr = w
	u.begin().printed("ready\n")
	w.Close()
	for i := range 20 { // nobody reads
		u.signal(unix.SIGUSR1)
		eventually(t, func() error {
			if n := strings.Count(u.stdout.String(), "USR1"); n != i+1 {
				return fmt.Errorf("%d of %d signals", n, i+1)
			}
			return nil
		})
	}
	begin := time.Now()
	u.signal(unix.SIGTERM)
	u.want(42)
	quickly(t, begin)
}

// Each line of the log is a write of its own, also of what a hook has written at once, and of mistakes: a socket that keeps messages apart shows it.
func TestOneWritePerLine(t *testing.T) {
	for _, c := range []struct {
		args []string
		want []string // of the lines; in JSON, what comes after the level
	}{
		{[]string{"--pre-start", `printf 'one\n\n"two"\nthree'`, "--", "true"}, []string{"pre-start-1: one", "pre-start-1: ", `pre-start-1: "two"`, "pre-start-1: three"}},
		{[]string{"--pre-start", `printf 'one\n\n"two"\nthree'`, "--log-format", "json", "--", "true"},
			[]string{`"hook":"pre-start-1","msg":"one"}`, `"hook":"pre-start-1","msg":""}`, `"hook":"pre-start-1","msg":"\"two\""}`, `"hook":"pre-start-1","msg":"three"}`}},
		{[]string{"--term-delay", "-1s", "--nonsense"}, []string{"usher: error: unknown flag: --nonsense", "usher: error: no command given",
			"usher: error: --term-delay -1s: must not be negative", "usher: hint: usher --help all lists the flags and their variables"}},
		{[]string{"--term-delay", "-1s", "--log-format", "json", "--nonsense"}, []string{`"msg":"unknown flag: --nonsense"}`, `"msg":"no command given"}`,
			`"msg":"--term-delay -1s: must not be negative"}`, `"msg":"hint: usher --help all lists the flags and their variables"}`}},
		{[]string{"--health-addr", "unix:/no/such/dir/socket", "--log-format=json", "true"}, []string{`"msg":"cannot listen on \"unix:/no/such/dir/socket\": bind: no such file or directory"}`}},
	} {
		ends, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		w := os.NewFile(uintptr(ends[1]), "stderr")
		u := command(t, &made, c.args...)
		u.cmd.Stderr = w
		u.begin()
		w.Close()
		var got []string
		for b := make([]byte, 1<<16); ; {
			n, err := unix.Read(ends[0], b)
			if n <= 0 || err != nil {
				break
			}
			got = append(got, string(b[:n]))
		}
		unix.Close(ends[0])
		u.wait()
		if len(got) != len(c.want) {
			t.Errorf("%q: %d writes: %q", c.args, len(got), got)
			continue
		}
		for i, line := range got {
			ok := line == c.want[i]+"\n"
			if strings.HasPrefix(c.want[i], `"`) {
				ok = json.Valid([]byte(line)) && strings.HasPrefix(line, `{"time":"`) && strings.HasSuffix(line, c.want[i]+"\n")
			}
			if !ok {
				t.Errorf("%q: write %d is %q, want %q", c.args, i, line, c.want[i])
			}
		}
	}
}

// A line that is too long is broken in two, but no character is. What never was one is shown as U+FFFD.
func TestLongLineOfAHook(t *testing.T) {
	for _, pattern := range []string{"a\u20ac", "ab\U0001f600", "\u20ac\xff", "\xe2\x82"} {
		u := start(t, &made, "--pre-start", "exec:perl -e 'print pack(\"H*\", shift) x 3000' "+hex.EncodeToString([]byte(pattern)), "--", "true")
		u.want(0)
		lines := strings.Split(strings.TrimSuffix(u.stderr.String(), "\n"), "\n")
		text := ""
		for _, line := range lines {
			line = strings.TrimPrefix(line, "pre-start-1: ")
			if !utf8.ValidString(line) {
				t.Errorf("%q: a line ends with %q", pattern, line[len(line)-4:])
			}
			text += line
		}
		if want := string([]rune(strings.Repeat(pattern, 3000))); text != want || len(lines) < 2 {
			t.Errorf("%q: %d bytes in %d lines, want %d", pattern, len(text), len(lines), len(want))
		}
	}
}

// What a hook leaves in the background goes on, its output in the log, and is told at the end like all that outlives the app.
func TestHookThatForks(t *testing.T) {
	u := start(t, &made, "--pre-start", `bash -c '(trap "echo told; exit" TERM; while :; do echo beat; sleep 0.05; done) & echo forked'`, "--", "sh", "-c", app, "0")
	u.printed("ready\n")
	before := strings.Count(u.stderr.String(), "pre-start-1: beat\n")
	eventually(t, func() error {
		if n := strings.Count(u.stderr.String(), "pre-start-1: beat\n"); n < before+3 {
			return fmt.Errorf("%d beats", n)
		}
		return nil
	})
	u.signal(unix.SIGTERM)
	u.want(42)
	if !strings.Contains(u.stderr.String(), "pre-start-1: told\n") {
		t.Errorf("log: %s", &u.stderr)
	}
}

// Hooks run as the app does.
func TestHooksAsUser(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
	u := start(t, &made, "--user", "1234:567", "--pre-start", "sh -c 'id -u; id -g; echo written > /dev/stdout'", "--", "true")
	u.want(0)
	if out := u.stderr.String(); out != "pre-start-1: 1234\npre-start-1: 567\npre-start-1: written\n" {
		t.Errorf("log: %s", out)
	}
}
