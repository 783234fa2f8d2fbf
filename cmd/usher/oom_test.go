package main_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// cgroup2 is the init of a user mode Linux: containers of 48 MiB, in cgroups of version 2, whichever version this machine's engine uses.
// $0 is usher, $1 where the termination logs go.
var cgroup2 = script("cgroup2.sh")

// What the kernel does on Kubernetes' nodes, in a kernel of its own: the OOM kill takes PID 1 along, and what is left was written before.
func TestOutOfMemoryOnCgroup2(t *testing.T) {
	const reached = `memory limit 48Mi reached at 20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ, `
	const ahead = `^(Signaled|OOMKilled): ended from outside(, or out of memory, which kills the whole container: memory limit 48Mi|; ` + reached + `.*)\n *`
	cases := map[string]struct{ code, word, log string }{
		// In so slow a machine it may take usher's own time to tell who was killed (earlyTime), and more.
		"app": {"137", `^OOMKilled: killed by SIGKILL \(exit code 137\); out of memory: (perl \(pid \d+\)|a process) killed, memory limit 48Mi( reached at \S+)?, peak 48Mi, used .*; uptime `,
			`usher: out of memory: (perl \(pid \d+\)|a process) killed, `},
		"group": {"137", `^(Signaled|OOMKilled): ended from outside; ` + reached + `peak 48Mi, used 4\dMi(, largest: perl \(pid \d+\) 4\dMi)?; uptime \S+\n *$`, ""},
		// No time to write, or hardly: a word was there before.
		"fast":      {"137", ahead + `$`, ""},
		"fastchild": {"137", ahead + `$`, ""},
		"own":       {"137", `(` + ahead + `|^)mine\n$`, ""},
		"done":      {"3", `^Error: exit code 3; uptime `, ""},
		"child":     {"3", `^Error: exit code 3; out of memory: (perl \(pid \d+\)|a process) killed, memory limit 48Mi`, `usher: out of memory: (perl \(pid \d+\)|a process) killed, `},
		"shell":     {"137", `^OOMKilled: exit code 137; out of memory: (perl \(pid \d+\)|a process) killed, `, `usher: out of memory: `},
		"stop":      {"137", `^StopTimeout: ended from outside in the middle of a stop; (` + reached + `.*; )?uptime \S+; SIGTERM from \S+ .*, being held back for 1h0m0s\n *$`, ""},
		"cache":     {"137", `^Signaled: killed by SIGKILL \(exit code 137\); uptime `, ""},
	}
	page, err := os.ReadFile(debugPage)
	if err != nil {
		t.Fatal(err)
	}
	_, page, _ = bytes.Cut(page, []byte("## OOMKilled\n"))
	words := regexp.MustCompile("(?s)```text\n(.*?)```").FindAllSubmatch(page, -1)
	for i, name := range []string{"app", "group", "fast"} { // as the page has them
		if len(words) != 3 || !regexp.MustCompile(cases[name].word).Match(bytes.ReplaceAll(words[i][1], []byte("\n    "), []byte(" "))) {
			t.Errorf("%s: %s: not what the last word is: %s", debugPage, name, words)
		}
	}
	linux, err := exec.LookPath("linux.uml")
	if err != nil {
		t.Skipf("no user mode Linux: %v", err)
	}
	if os.Getuid() != 0 {
		t.Skip("its root is this machine's, for root")
	}
	t.Parallel()
	dir := t.TempDir()
	init := filepath.Join(dir, "init")
	script := "#!/bin/bash\nexport PATH=" + os.Getenv("PATH") + " USHER_TERM_DELAY=1h\nusher=" + made.path + " logs=" + dir + "\n" + cgroup2
	if err := os.WriteFile(init, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(linux, "mem=512M", "rootfstype=hostfs", "rootflags=/", "rw", "init="+init, "con0=null,fd:1", "con=null", "quiet")
	cmd.Env = append(os.Environ(), "HOME="+dir, "TMPDIR="+dir)
	var console output
	cmd.Stdout, cmd.Stderr = &console, &console
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	cmd.WaitDelay = time.Second // it is more than one process
	limit := time.AfterFunc(2*time.Minute, func() { cmd.Process.Kill() })
	defer limit.Stop()
	err = cmd.Wait()
	if strings.Contains(console.String(), "ptrace set fp regs failed") {
		t.Skip("this user mode Linux does not know the registers of this CPU")
	}
	if err != nil && !strings.Contains(console.String(), "Power down") {
		t.Fatalf("%v\n%s", err, &console)
	}
	for name, want := range cases {
		code, _ := os.ReadFile(filepath.Join(dir, name+".code"))
		out, _ := os.ReadFile(filepath.Join(dir, name+".out"))
		word := readLog(t, filepath.Join(dir, name))
		if string(code) != want.code+"\n" || !regexp.MustCompile(want.word).MatchString(word) || !regexp.MustCompile(want.log).Match(out) {
			t.Errorf("%s: exit code %s, termination log %q, log:\n%s", name, code, word, out)
		}
		if want.log == "" && strings.Contains(string(out), "out of memory: ") {
			t.Errorf("%s: log:\n%s", name, out)
		}
	}
	if t.Failed() {
		t.Logf("console: %s", &console)
	}
}
