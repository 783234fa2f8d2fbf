package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"usher/signals/testmain"
)

// The tests run the program that users run.
var program string

func TestMain(m *testing.M) { testmain.Main(func() int { return run1(m) }) }

func run1(m *testing.M) int {
	if testmain.Fuzzing() {
		return m.Run()
	}
	dir, err := os.MkdirTemp("", "usher-check-")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	program = filepath.Join(dir, "usher-check")
	build := exec.Command("go", "build", "-o", program, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "%v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// checked runs usher-check and returns its exit code and stdout. Only usage
// errors go to stderr.
func checked(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var out, errs strings.Builder
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	cmd.Env = append(os.Environ(), "HTTP_PROXY=http://127.0.0.1:1", "http_proxy=http://127.0.0.1:1", "HTTPS_PROXY=http://127.0.0.1:1") // ignored
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), out.String(), errs.String()
}

// want runs a check and compares its output, which is "" for a check that
// holds.
func want(t *testing.T, says string, args ...string) {
	t.Helper()
	code, out, errs := checked(t, append([]string{"--timeout", "10s"}, args...)...)
	wantCode := 1
	if says == "" || strings.HasPrefix(says, "warning: ") {
		wantCode = 0
	}
	if code != wantCode || errs != "" || strings.TrimSuffix(out, "\n") != says {
		t.Errorf("%q: %d %q, stderr %q; want %d %q", args, code, out, errs, wantCode, says)
	}
}

func TestMistakes(t *testing.T) {
	for _, tt := range []struct{ args, says string }{
		{"", "no check given"},
		{"nonsense", "must begin with"},
		{"tcp://x", "no port"},
		{"grpc://x", "no port"},
		{"https://x y", "more than one check"},
		{"--timeout 0s tcp://x:1", "--timeout 0s: must be more than 0"},
		{"--check-header X tcp://x:1", "want NAME: VALUE"},
		{"--nonsense tcp://x:1", "unknown flag"},
	} {
		code, out, errs := checked(t, strings.Fields(tt.args)...)
		if code != 125 || out != "" || !strings.Contains(errs, tt.says) || !strings.Contains(errs, "usher-check: hint: ") {
			t.Errorf("%q: %d %q %q", tt.args, code, out, errs)
		}
	}
	// All at once.
	_, _, errs := checked(t, "--timeout", "-1s", "ftp://x")
	if strings.Count(errs, "usher-check: error: ") != 2 {
		t.Errorf("%q", errs)
	}
}

func TestHelpAndVersion(t *testing.T) {
	for arg, says := range map[string]string{"--help": "grpc://host:port/service", "-h": "--verify", "--version": "usher-check devel"} {
		if code, out, _ := checked(t, arg); code != 0 || !strings.Contains(out, says) {
			t.Errorf("%s: %d %q", arg, code, out)
		}
	}
}

// The kinds that usher runs itself work in the same way here.
func TestUshersOwnKinds(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x")
	want(t, "no such file or directory", "file:"+path)
	want(t, "no such file or directory", "unix://"+path)
	if err := os.WriteFile(path, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	want(t, "", "file:"+path)
	want(t, "connection refused", "tcp://127.0.0.1:1")
}

func TestExec(t *testing.T) {
	want(t, "", "exec:true")
	want(t, "exit code 3: b", `exec:sh -c 'echo a; echo b >&2; exit 3'`)
	want(t, "exit code 1", "exec:false")
	want(t, "killed by terminated", `exec:sh -c 'kill -TERM $$'`)
	want(t, `exec: "no-such-command": executable file not found in $PATH`, "exec:no-such-command")
	// The whole group is killed at the timeout, and background processes do not
	// delay the result.
	pids := filepath.Join(t.TempDir(), "pids")
	began := time.Now()
	code, out, _ := checked(t, "--timeout", "500ms", `exec:sh -c 'sleep 1000 & echo $! > "$0"; echo waiting; wait' `+pids)
	if code != 1 || out != "timeout after 500ms: still running: waiting\n" || time.Since(began) > 10*time.Second {
		t.Errorf("%d %q after %v", code, out, time.Since(began))
	}
	b, err := os.ReadFile(pids)
	if err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		stat, err := os.ReadFile("/proc/" + strings.TrimSpace(string(b)) + "/stat")
		if err != nil || strings.Contains(string(stat), ") Z ") { // the process that adopts it may reap it later
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the command's child has survived")
		}
	}
	want(t, "", `exec:sh -c 'sleep 1000 & echo $! > "$0"' `+pids)
	if b, err = os.ReadFile(pids); err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Kill(pid, unix.SIGKILL); err != nil {
		t.Errorf("what is in the background is no more: %v", err)
	}
}
