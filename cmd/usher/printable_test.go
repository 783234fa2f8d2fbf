package main_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

// spiteful is what no terminal is to get: an escape sequence and its
// one-character form, a title, a line over another, text in another order, and
// what is no UTF-8. Between them are words that tests look for.
const spiteful = "\x1b[31mred\u009b1mbold\x1b]0;title\x07\rover\u202eorder\u2066\u200f\x7f\xff\u2028end"

// wantPrintable looks for what is not printable in text that usher has written.
// It may have lines, and tabs where tabs is set.
func wantPrintable(t *testing.T, where, text string, tabs bool) {
	t.Helper()
	if !strings.Contains(text, "red") || !strings.Contains(text, "end") {
		t.Errorf("%s: not what this is about: %q", where, text)
	}
	if !utf8.ValidString(text) {
		t.Errorf("%s: no UTF-8: %q", where, text)
	}
	for _, r := range text {
		if r == '\n' || r == '\t' && tabs {
			continue
		}
		if unicode.In(r, unicode.Cc, unicode.Bidi_Control, unicode.Zl, unicode.Zp) {
			t.Errorf("%s: %q in %q", where, r, text)
			return
		}
	}
}

// What others have written, or are called, reaches the log, the answers and the
// termination log by one rule. In 5a6c03f the log passed it on, and the
// termination log left U+009B and U+202E.
func TestPrintable(t *testing.T) {
	dir := t.TempDir()
	script := filepath.Join(dir, "script")
	if err := os.WriteFile(script, []byte("#!/nowhere/red\x1b[31m\u202eend\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	print := `sh -c 'printf "a\tb $SPITE\n"; exit 3'`
	rename := `mount -t proc proc /proc; printf "red\033[1mend\302\233\342\200\256" > /proc/self/comm; `
	for name, args := range map[string][]string{
		"hook":              {"--pre-start", print, "--", "true"},
		"hook that is fine": {"--pre-start", `sh -c 'printf "$SPITE\nshort $SPITE"'`, "--", "true"},
		"hook at the end":   {"--post-stop", "exec:" + print, "--", "true"},
		"check": {"--on-unhealthy", "stop", "--live-period", "50ms", "--live-failure-threshold", "1",
			"--live-check", "exec:" + print, "--", "sleep", "60"},
		"straggler": {"--straggler-grace", "100ms", "--", "bash", "-c",
			`read < <(` + rename + `trap "" TERM; echo; while :; do sleep 0.01; done); exit 7`},
		"sender":      {"--", "bash", "-c", `(` + rename + `kill -TERM 1; while :; do sleep 0.01; done) & sleep 60`},
		"command":     {"--", "/nowhere/" + spiteful},
		"interpreter": {"--", script},
		"stderr":      {"--termination-tail", "5", "--", "sh", "-c", `printf "$SPITE\n" >&2; exit 3`},
		"status": {"--health-addr", "127.0.0.1:0", "--on-unhealthy", "stop", "--startup-check", "notify:",
			"--startup-failure-threshold", "4", "--startup-period", "200ms", "--", python3, "-c", `import os, socket, time
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.connect(os.environ["NOTIFY_SOCKET"])
s.send(b"STATUS=" + os.environb[b"SPITE"])
time.sleep(60)`},
	} {
		for _, format := range []string{"text", "json"} {
			t.Run(name+"/"+format, func(t *testing.T) {
				t.Parallel()
				log := filepath.Join(t.TempDir(), "log")
				u := command(t, &made, append([]string{"-v", "--log-format", format,
					"--termination-log", log, "--termination-format", format}, args...)...)
				u.cmd.Env = append(u.cmd.Env, "SPITE="+spiteful)
				u.begin().wait()
				word, err := os.ReadFile(log)
				if err != nil {
					t.Fatal(err)
				}
				if !strings.HasPrefix(name, "hook ") { // those are no failure
					wantPrintable(t, "termination log", string(word), name == "stderr")
				}
				if name != "stderr" { // which is the app's own
					wantPrintable(t, "log", u.stderr.String(), name == "hook" || name == "hook at the end")
				}
				tabs := format == "text" && (name == "hook" || name == "hook at the end")
				if kept := strings.Contains(u.stderr.String(), "a\tb  [31mred"); kept != tabs {
					t.Errorf("a hook's tab: %v in %q", kept, &u.stderr)
				}
			})
		}
	}
	for _, format := range []string{"text", "json"} {
		for name, args := range map[string][]string{
			"flag":   {"--red" + spiteful, "--", "true"},
			"value":  {"--user", "red" + spiteful, "--", "true"},
			"header": {"--check-header", "Name: red" + spiteful, "--", "true"},
		} {
			u := start(t, &made, append([]string{"--log-format", format}, args...)...)
			u.want(125)
			wantPrintable(t, name, u.stderr.String(), false)
		}
		u := command(t, &made, "--log-format", format, "--", "true")
		u.cmd.Env = append(u.cmd.Env, "USHER_"+spiteful+"=1")
		u.begin().want(0)
		wantPrintable(t, "variable", u.stderr.String(), false)
	}
}

func TestPrintableAnswers(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			fmt.Fprintf(c, "HTTP/1.1 500 %s\r\nContent-Length: 0\r\n\r\n", strings.ReplaceAll(spiteful, "\r", ""))
			c.Close()
		}
	}()
	health := freePort(t)
	u := command(t, &made, "--health-addr", health, "--ready-period", "50ms", "--ready-failure-threshold", "1",
		"--ready-check", `exec:sh -c 'echo "$SPITE"; exit 3'`, "--ready-check", "http://"+l.Addr().String()+"/", "--live-check", "notify:", "--",
		python3, "-c", `import os, socket, time
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.connect(os.environ["NOTIFY_SOCKET"])
s.send(b"READY=1\nSTATUS=" + os.environb[b"SPITE"])
time.sleep(60)`)
	u.cmd.Env = append(u.cmd.Env, "SPITE="+spiteful)
	u.begin()
	wantBody(t, "http://"+health+"/readyz", 503, "[+]app ok: ", "[-]ready-1 failed: exit code 3: ", "[-]ready-2 failed: ")
	wantPrintable(t, "/readyz", get(t, "http://"+health+"/readyz", 503), false)
	wantPrintable(t, "/livez", get(t, "http://"+health+"/livez?verbose", 200), false)
	u.signal(unix.SIGTERM)
	u.want(143)

	failing := "exec:sh -c 'echo \"$SPITE\"; exit 3'"
	for name, argv := range map[string][]string{
		"usher --probe": {made.path, "--probe", "http://" + l.Addr().String() + "/"},
		"usher-check":   {filepath.Join(filepath.Dir(made.path), "usher-check"), failing},
		"its mistakes":  {filepath.Join(filepath.Dir(made.path), "usher-check"), "--red" + spiteful, "file:/red" + spiteful},
	} {
		cmd := exec.Command(argv[0], argv[1:]...)
		cmd.Env = append(os.Environ(), "SPITE="+spiteful)
		out, err := cmd.CombinedOutput()
		if err == nil {
			t.Errorf("%s: no failure", name)
		}
		wantPrintable(t, name, string(out), false)
	}
}
