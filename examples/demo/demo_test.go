package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"usher/examples/figures"
	"usher/signals/testmain"
)

// The demo and the usher under test, as users have them.
var demoBin, usherBin string

func TestMain(m *testing.M) { testmain.Main(func() int { return testMain(m) }) }

func testMain(m *testing.M) int {
	dir, err := os.MkdirTemp("", "demo-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	demoBin, usherBin = filepath.Join(dir, "demo"), filepath.Join(dir, "usher")
	for _, argv := range [][]string{
		{"chmod", "755", dir}, // for the test that is not root
		{"make", "-C", "../..", "build", "OUT=" + usherBin},
		{"go", "build", "-o", demoBin, "."},
	} {
		if out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n%s", strings.Join(argv, " "), err, out)
			return 1
		}
	}
	return m.Run()
}

// short makes the demo shorter. The load balancer still lets go a second before
// the server ends.
var short = []string{"-term-delay", "2s", "-let-go", "500ms"}

func TestDemo(t *testing.T) {
	needServer(t, "")
	path := filepath.Join(t.TempDir(), "figures.json")
	out := mustRun(t, demo(t, "-usher", usherBin, "-figures", path))
	checkStory(t, out)
	checkFigures(t, out, path)
	began := row(t, out, `usher --term-delay 4s -- \w+`)
	if began.gone < 4 {
		t.Errorf("the server was gone after %.1fs, the hold is 4s", began.gone)
	}
	if strings.Contains(out, "\x1b") {
		t.Error("colour where no terminal is")
	}
}

func TestPython(t *testing.T) {
	needServer(t, "python3")
	t.Parallel()
	// Not short: a connection that python's queue has dropped is tried again after
	// 1 s, and then after 2 s.
	checkStory(t, mustRun(t, demo(t, "-usher", usherBin, "-server", "python3", "-let-go", "500ms")))
}

func TestNotRoot(t *testing.T) {
	needServer(t, "nginx")
	if os.Geteuid() != 0 {
		t.Skip("all other tests are that already")
	}
	t.Parallel()
	cmd := demo(t, append(short, "-usher", usherBin, "-server", "nginx")...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	checkStory(t, mustRun(t, cmd))
}

// In a container, root may not make namespaces.
func TestNoNamespace(t *testing.T) {
	needServer(t, "nginx")
	setpriv, err := exec.LookPath("setpriv")
	if err != nil || os.Geteuid() != 0 {
		t.Skip("needs setpriv, and root to use it")
	}
	t.Parallel()
	cmd := demo(t, append(short, "-usher", usherBin, "-server", "nginx")...)
	cmd.Path, cmd.Args = setpriv, append([]string{"setpriv", "--bounding-set=-sys_admin"}, cmd.Args...)
	out := mustRun(t, cmd)
	checkStory(t, out)
	if want := "usher is a plain child"; !strings.Contains(out, want) {
		t.Errorf("no %q in:\n%s", want, out)
	}
}

// The control of the control: an usher that does not hold has to fail.
func TestNoHold(t *testing.T) {
	needServer(t, "")
	t.Parallel()
	hasty := filepath.Join(t.TempDir(), "usher")
	script := "#!/bin/sh\n[ \"$1\" = --term-delay ] && shift 2\nexec " + usherBin + " \"$@\"\n"
	if err := os.WriteFile(hasty, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	out, code := output(t, demo(t, append(short, "-usher", hasty)...))
	if want := "requests failed with usher"; code != 1 || !strings.Contains(out, want) {
		t.Errorf("exit code %d, want 1 and %q in:\n%s", code, want, out)
	}
}

// After Ctrl-C, or after the reader has gone, at the worst moment, no process
// and no file may be left.
func TestInterrupted(t *testing.T) {
	needServer(t, "")
	for name, interrupt := range map[string]func(*exec.Cmd, io.Closer){
		"SIGINT":  func(cmd *exec.Cmd, _ io.Closer) { cmd.Process.Signal(os.Interrupt) },
		"SIGPIPE": func(_ *exec.Cmd, r io.Closer) { r.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cmd := demo(t, append(short, "-usher", usherBin)...)
			r, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			var seen bytes.Buffer
			for buf := make([]byte, 4096); !strings.Contains(seen.String(), "SIGTERM sent"); {
				n, err := r.Read(buf)
				seen.Write(buf[:n])
				if err != nil {
					t.Fatalf("%v after:\n%s", err, seen.String())
				}
			}
			interrupt(cmd, r)
			go io.Copy(io.Discard, r)
			cmd.Wait()
			if code := cmd.ProcessState.ExitCode(); code != 130 {
				t.Errorf("exit code %d, want 130", code)
			}
		})
	}
}

func TestMistakes(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"-usher", "/nonexistent/usher"}, "hint: `make demo` builds it first"},
		{[]string{"-usher", usherBin, "-server", "apache"}, "want nginx or python3"},
	} {
		out, code := output(t, demo(t, c.args...))
		if code != 1 || !strings.Contains(out, c.want) {
			t.Errorf("%q: exit code %d, want 1 and %q in:\n%s", c.args, code, c.want, out)
		}
	}
}

// needServer skips the test without the server. Tests install nothing.
func needServer(t *testing.T, name string) {
	t.Helper()
	nginx, python := lookNginx() != "", lookPython(t.Context()) != ""
	switch {
	case name == "nginx" && nginx, name == "python3" && python, name == "" && (nginx || python && !canInstall()):
	default:
		t.Skipf("%s is not here; `make demo` says what to install", cmp.Or(name, "nginx"))
	}
}

// demo returns the demo with a TMPDIR of its own. At the end of the test, no
// file may be left there, and no process of the demo.
func demo(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	tmp, err := os.MkdirTemp(filepath.Dir(demoBin), "tmp-")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(tmp, 0o777); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, demoBin, args...)
	cmd.Env = append(os.Environ(), "TMPDIR="+tmp)
	cmd.Stderr = os.Stderr
	t.Cleanup(func() {
		left, err := os.ReadDir(tmp)
		if err != nil || len(left) > 0 {
			t.Errorf("files left: %v, %v", left, err)
		}
		cmdlines, _ := filepath.Glob("/proc/[0-9]*/cmdline")
		for _, path := range cmdlines {
			if text, _ := os.ReadFile(path); bytes.Contains(text, []byte(tmp)) {
				t.Errorf("still running: %s %q", path, text)
			}
		}
	})
	return cmd
}

func output(t *testing.T, cmd *exec.Cmd) (string, int) {
	t.Helper()
	cmd.Stderr = nil
	out, err := cmd.CombinedOutput()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

func mustRun(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	out, code := output(t, cmd)
	if code != 0 {
		t.Fatalf("exit code %d:\n%s", code, out)
	}
	return out
}

// checkStory checks what every good run prints.
func checkStory(t *testing.T, out string) {
	t.Helper()
	for _, want := range []string{
		`(?m)^  usher is (PID 1 of a new PID namespace|a plain child)`,
		`(?m)^  \$ curl http://127\.0\.0\.1:\d+/livez\n    ok\n`,
		`(?m)^  \$ curl http://127\.0\.0\.1:\d+/readyz\n    ok\n`,
		`(?m)^    \[\+\]`,
		`(?m)^  \+0\.0s  SIGTERM sent to usher$`,
		`(?m)^  \+0\.\ds  /readyz 503: \[-\]`,
		`(?m)^  \+0\.\ds  /livez  200: ok$`,
		`(?m)^  \+\d\.\ds  load balancer has let go; [1-9]\d* requests since SIGTERM, 0 failed$`,
		`(?m)^  \+[24]\.\ds  \w+ is gone: its port is closed$`,
		`(?m)^  \+[24]\.\ds  usher has exited with (0|143)$`,
		`(?m)^  \+[24]\.\ds  usher: .*started \S+ · .*ready \S+ · SIGTERM \S+ · hold \S+ · SIGTERM sent \S+ · app ended \S+ · ended \S+$`,
		`(?m)^The termination log.*\n\n    \S`,
	} {
		if !regexp.MustCompile(want).MatchString(out) {
			t.Errorf("no match for %s", want)
		}
	}
	if held := row(t, out, `usher --term-delay \S+ -- \w+`); held.failed != 0 || held.served == 0 {
		t.Errorf("behind usher: %+v", held)
	}
	if hasty := row(t, out, `usher -- \w+, no --term-delay`); hasty.failed == 0 {
		t.Errorf("the control: %+v", hasty)
	}
	if cut := row(t, out, `usher --term-delay 500ms -- \w+`); cut.failed == 0 {
		t.Errorf("slow requests without --drain-timeout: %+v", cut)
	}
	if finished := row(t, out, `the same with --drain-timeout 10s`); finished.failed != 0 || finished.served == 0 {
		t.Errorf("slow requests with --drain-timeout: %+v", finished)
	}
	if t.Failed() {
		t.Logf("it printed:\n%s", out)
	}
}

// checkFigures compares what is written for a picture with the table.
func checkFigures(t *testing.T, out, path string) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	runs, err := figures.Read(f)
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range runs {
		served, failed := r.After()
		want := row(t, out, regexp.QuoteMeta(r.StartedAs))
		if served != want.served || failed != want.failed || math.Abs(r.Gone-want.gone) > .051 ||
			r.Unready > r.LetGo || (r.Hold > 0) != (i == 0) {
			t.Errorf("%+v is not what the table says: %+v", r, want)
		}
		if before := float64(r.Before) * figures.Tenth; before < steady.Seconds()-.2 || before > steady.Seconds()+.2 {
			t.Errorf("%.1fs before the stop, want %v", before, steady)
		}
	}
	if len(runs) < 2 {
		t.Errorf("%d runs", len(runs))
	}
}

type tableRow struct {
	gone           float64
	served, failed int
}

// row returns the row of the table whose label matches.
func row(t *testing.T, out, label string) tableRow {
	t.Helper()
	m := regexp.MustCompile(`(?m)^  ` + label + ` +\+(\d+\.\d)s +(\d+) +(\d+) `).FindStringSubmatch(out)
	if m == nil {
		t.Fatalf("no row for %s in:\n%s", label, out)
	}
	var r tableRow
	r.gone, _ = strconv.ParseFloat(m[1], 64)
	r.served, _ = strconv.Atoi(m[2])
	r.failed, _ = strconv.Atoi(m[3])
	return r
}
