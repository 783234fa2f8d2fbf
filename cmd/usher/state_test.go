package main_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// whatTheAppSees prints all that a process can see of its state, as "field: value" lines.
var whatTheAppSees = script("see.sh")

// differs are the lines that may differ, and why.
var differs = []struct{ line, why string }{
	{`status (Pid|Tgid|NSpid|NStgid):`, "another process"},
	{`status (NSpgid|NSsid|PPid):`, "a process group of its own, and usher for a parent"},
	{`status (Vm\w+|Rss\w+|HugetlbPages|voluntary_ctxt_switches|nonvoluntary_ctxt_switches|SigQ|Cpus_allowed|Threads):`, "memory and counters"},
	{`sched|autogroup`, "counters; an autogroup is a session's"},
	{`env: _=`, "the shell's own"},
	{`env: USHER_`, "not passed on"},
}

// A child that prints all it can see prints the same under usher as under no init at all, field by field.
func TestNothingElseChanges(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "script")
	if err := os.WriteFile(path, []byte(whatTheAppSees), 0o644); err != nil {
		t.Fatal(err)
	}
	// Odd, so that the defaults can't be mistaken for it: limits, umask, ignored signals, descriptors, nice, an argv[0], a directory.
	prepare := func(ignored string) string {
		return `ulimit -Sn 123; ulimit -Sc 0; ulimit -Ss 4096; umask 0137; trap "" ` + ignored + `
exec 5<>/dev/null 7</dev/zero; cd "` + dir + `"; exec nice -n 3 "$@"`
	}
	run := func(ignored string, wrapper ...string) []string {
		t.Helper()
		u := &usher{t: t, cmd: exec.Command("bash", slices.Concat([]string{"-c", prepare(ignored), "bash"}, wrapper, []string{"bash", path, "one", "", "th ree"})...), done: make(chan struct{})}
		u.cmd.Env = append(noLog, "PATH=/usr/bin:/bin", "GOGC=off", "EMPTY=", "A=b=c")
		u.cmd.Stdout, u.cmd.Stderr = &u.stdout, &u.stderr
		u.begin().want(0)
		var lines []string
		pipes := regexp.MustCompile(`(pipe|socket):\[\d+\]`)
		for line := range strings.Lines(u.stdout.String()) {
			lines = append(lines, pipes.ReplaceAllString(strings.TrimSpace(line), "$1"))
		}
		return lines
	}
	compare := func(bare, under []string) (differences []string) {
		for _, line := range bare {
			if !slices.Contains(under, line) {
				differences = append(differences, "only without usher: "+line)
			}
		}
		for _, line := range under {
			if !slices.Contains(bare, line) {
				differences = append(differences, "only under usher: "+line)
			}
		}
		return slices.DeleteFunc(differences, func(difference string) bool {
			_, line, _ := strings.Cut(difference, "usher: ")
			return slices.ContainsFunc(differs, func(d struct{ line, why string }) bool {
				return regexp.MustCompile(`^(` + d.line + `)`).MatchString(line)
			})
		})
	}
	const ignored = "HUP USR1 TTOU PIPE"
	bare := run(ignored + " CHLD")
	if len(bare) < 80 {
		t.Fatalf("the app sees too little: %q", bare)
	}
	for _, difference := range compare(bare, run(ignored+" CHLD", made.path, "--")) {
		t.Error(difference)
	}
	// As PID 1, where the app is started before the Go runtime, unless SIGCHLD is ignored.
	if os.Getuid() == 0 {
		for _, difference := range compare(run(ignored, "unshare", "--pid", "--fork", "--mount-proc", "sh", "-c", `"$@"; exit $?`, "sh"),
			run(ignored, "unshare", "--pid", "--fork", "--mount-proc", made.path, "--")) {
			t.Error("PID 1: " + difference)
		}
	}
	// The control: a plain build can't keep these, and is seen not to.
	all := strings.Join(compare(bare, run(ignored+" CHLD", plain.path, "--")), "\n")
	for _, known := range []string{"limits Max open files", "status SigIgn:"} {
		if !strings.Contains(all, known) {
			t.Errorf("a plain build keeps %q? %s", known, all)
		}
	}
}
