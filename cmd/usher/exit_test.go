package main_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"usher/signals"
)

func TestEveryExitCode(t *testing.T) {
	eachBuild(t, func(t *testing.T, b *build) {
		var wg sync.WaitGroup
		codes := make(chan int)
		for range 4 {
			wg.Go(func() {
				for code := range codes {
					u := start(t, b, "--", "sh", "-c", fmt.Sprintf("exit %d", code))
					if got := u.wait(); got != code {
						t.Errorf("the app's %d became %d", code, got)
					}
					if out := u.stdout.String() + u.stderr.String(); out != "" {
						t.Errorf("a plain run printed %q", out)
					}
				}
			})
		}
		for code := range 256 {
			codes <- code
		}
		close(codes)
		wg.Wait()
	})
}

func TestKilledBySignal(t *testing.T) {
	eachBuild(t, func(t *testing.T, b *build) {
		for sig := signals.Signal(1); sig <= signals.RTMax; sig++ {
			switch sig {
			case unix.SIGCHLD, unix.SIGCONT, unix.SIGURG, unix.SIGWINCH: // ignored by default
			case unix.SIGSTOP, unix.SIGTSTP, unix.SIGTTIN, unix.SIGTTOU: // stop
			case 32, 33: // the C library's, which the shell can't send
			default:
				u := start(t, b, "--", "sh", "-c", fmt.Sprintf("ulimit -c 0; kill -%d $$", sig))
				u.want(128 + int(sig))
				if sig != unix.SIGINT && sig != unix.SIGPIPE { // shells don't report those either
					u.logged(fmt.Sprintf("Signaled: killed by %s", signals.Name(sig)))
				}
			}
		}
	})
}

// startCase is a command that can't be started, or one that can in spite of its looks.
type startCase struct {
	name    string
	command []string
	code    int
	says    string // of the reason
	hints   string // of the hint; "" for none
	bash    int    // its exit code, where that is another one
}

func startCases(t *testing.T) []startCase {
	dir := t.TempDir()
	file := func(name, content string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	link := func(name, target string) string {
		path := filepath.Join(dir, name)
		if err := os.Symlink(target, path); err != nil {
			t.Fatal(err)
		}
		return path
	}
	nox := file("nox", "#!/bin/sh\n", 0o644)
	cases := []startCase{
		{"missing", []string{dir + "/nothing"}, 127, "no such file", "", 0},
		{"missing directory", []string{dir + "/no/thing"}, 127, "no such file: there is no directory", "", 0},
		{"missing in PATH", []string{"no-such-command"}, 127, fmt.Sprintf("not found in PATH, %.20q", os.Getenv("PATH"))[:30], "", 0},
		{"builtin", []string{"export", "A=b"}, 127, "not found in PATH", "only a shell knows this word", -1},
		{"one word", []string{"nginx -g daemon off;"}, 127, "not found in PATH", `separate words: ["nginx", ...]`, 0},
		{"one word with a path", []string{"/bin/sh -c true"}, 127, "no such file", `separate words: ["/bin/sh", ...]`, 0},
		{"no shell", []string{"/no/bash"}, 127, "no such file", "this image has /bin/sh", 0},
		{"empty name", []string{""}, 127, "the name is empty", "variable", 0},
		{"dangling link", []string{link("dangling", "/no/such/target")}, 127, `symbolic link to "/no/such/target"`, "", 0},
		// The shells call that found: to them it is an error like any other.
		{"below a file", []string{file("plain", "", 0o644) + "/x"}, 127, "is not a directory", "", 126},
		{"directory", []string{dir}, 126, "it is a directory", "", 0},
		{"circle of links", []string{link("circle", "circle")}, 126, "symbolic link", "", 0},
		{"long name", []string{dir + "/" + strings.Repeat("x", 300)}, 126, "file name too long", "", 0},
		{"no x bit", []string{nox}, 126, "it is not executable (permission denied)", "chmod +x", 0},
		{"device", []string{"/dev/null"}, 126, "it is no regular file", "", 0},

		{"no program", []string{file("corrupt", "\x7fELF\x02\x01\x01"+strings.Repeat("\x00", 200), 0o755)}, 126, "it is built for machine 0", "", 0},
		{"truncated program", []string{file("truncated", string(patchELF(t, nil))[:60], 0o755)}, 126, "it is a truncated ELF file", "", 0},
		{"unknown machine", []string{file("unknown", string(patchELF(t, func(b []byte) { b[18], b[19] = 0x67, 0x12 })), 0o755)}, 126, "it is built for machine ", "--platform linux/" + runtime.GOARCH, 0},
		{"Windows program", []string{file("windows", "MZ\x00\x00", 0o755)}, 126, "but a Windows program", "", 0},
		// Found is found, whatever it needs.
		{"no loader", []string{file("loader", string(patchELF(t, withLoader("/lib/ld-musl-"))), 0o755)}, 126, `its loader "/lib/ld-musl-`, "built for Alpine (musl)", 127},
		{"no interpreter", []string{file("interp", "#!/no/such/interpreter\n", 0o755)}, 126, `its interpreter "/no/such/interpreter" is not there`, "", 127},
		{"interpreter elsewhere", []string{file("elsewhere", "#!/opt/no/sh\n", 0o755)}, 126, `its interpreter "/opt/no/sh" is not there`, `/sh"`, 127},
		{"carriage return", []string{file("crlf", "#!/bin/sh\r\nexit 0\r\n", 0o755)}, 126, `its interpreter "/bin/sh\r" is not there`, "Windows line endings", 127},
		{"directory as interpreter", []string{file("interpdir", "#!"+dir+"\n", 0o755)}, 126, "is a directory", "", 0},
		{"interpreter without x bit", []string{file("interpnox", "#!"+nox+"\n", 0o755)}, 126, "is not executable", "chmod +x", 0},
		// bash runs such a script itself, which is not what it was written for.
		{"interpreter no program", []string{file("interptext", "#!"+file("text", "exit 7\n", 0o755)+"\n", 0o755)}, 126, "neither a program for this machine nor a script", "", -1},
		{"long first line", []string{file("longline", "#!/"+strings.Repeat("x", 300)+"\n", 0o755)}, 126, "more than 255 bytes", "", -1},

		{"script without magic", []string{file("script", "exit $1\n", 0o755), "9"}, 9, "", "", 0},
		{"script with empty magic", []string{file("magic", "#!\nexit $1\n", 0o755), "9"}, 9, "", "", 0},
		{"empty script", []string{file("empty", "", 0o755)}, 0, "", "", 0},
	}
	return append(cases, startCase{"another machine", []string{foreignProgram(t, dir)}, 126, ", this machine is ", "--platform linux/" + runtime.GOARCH, 0})
}

// patchELF is a changed copy of a program that runs here.
func patchELF(t *testing.T, change func([]byte)) []byte {
	t.Helper()
	b, err := os.ReadFile("/bin/true")
	if err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(b)
	}
	return b
}

// withLoader makes the beginning of the PT_INTERP another one, of the same length.
func withLoader(name string) func([]byte) {
	return func(b []byte) {
		if i := bytes.Index(b[:4096], []byte("/lib")); i >= 0 {
			copy(b[i:], name)
		}
	}
}

// foreignProgram is one that was really built for another machine, and that no emulator runs here.
func foreignProgram(t *testing.T, dir string) string {
	t.Helper()
	path, source := filepath.Join(dir, "foreign"), filepath.Join(dir, "foreign.go")
	if err := os.WriteFile(source, []byte("package main\n\nfunc main() {}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, arch := range []string{"arm64", "s390x", "loong64", "amd64"} {
		cmd := exec.Command("go", "build", "-o", path, source)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOARCH="+arch)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		if err := exec.Command(path).Run(); errors.Is(err, unix.ENOEXEC) {
			return path
		}
	}
	t.Fatal("this machine runs programs for every other one")
	return ""
}

func TestStartFailures(t *testing.T) {
	cases := startCases(t)
	eachBuild(t, func(t *testing.T, b *build) {
		for _, c := range cases {
			t.Run(c.name, func(t *testing.T) {
				log := newLog(t)
				u := start(t, b, append([]string{"--termination-log", log, "--"}, c.command...)...)
				u.want(c.code)
				u.explained(c.says, c.hints)
				if c.says == "" {
					return
				}
				word := readLog(t, log)
				if !strings.HasPrefix(word, "StartError: cannot start") || !strings.Contains(word, c.says) || !strings.Contains(word, fmt.Sprintf("(exit code %d)", c.code)) {
					t.Errorf("termination log: %q", word)
				}
				if _, hint, _ := strings.Cut(word, "; hint: "); !strings.Contains(hint, c.hints) || strings.Count(word, "\n") != 1 {
					t.Errorf("termination log: %q", word)
				}
			})
		}
	})
}

// explained wants one line for the reason and one for the hint, if there is one.
func (u *usher) explained(says, hints string) {
	u.t.Helper()
	out := u.stderr.String()
	reason, rest, _ := strings.Cut(out, "\n")
	hint, rest, _ := strings.Cut(rest, "\n")
	switch {
	case says == "" && out == "":
	case !strings.HasPrefix(reason, "usher: cannot start ") || !strings.Contains(reason, says) || rest != "":
		u.t.Errorf("stderr: %q, want %q", out, says)
	case hints != "" && (!strings.HasPrefix(hint, "usher: hint: ") || !strings.Contains(hint, hints)):
		u.t.Errorf("hint: %q, want %q", hint, hints)
	}
}

// The exit codes are bash's, but for the differences that the table names.
func TestStartFailuresInBash(t *testing.T) {
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("needs bash")
	}
	for _, c := range startCases(t) {
		want := c.code
		switch {
		case c.bash < 0:
			continue
		case c.bash > 0:
			want = c.bash
		}
		cmd := exec.Command(bash, append([]string{"-c", `"$0" "$@"`}, c.command...)...)
		cmd.Run()
		if got := cmd.ProcessState.ExitCode(); got != want {
			t.Errorf("%s: bash has %d, expected is %d", c.name, got, want)
		}
	}
}

// inShell makes usher PID 1 by way of a script, which gets usher's command line in "$@".
func (u *usher) inShell(script string) *usher {
	u.cmd.Args = append([]string{"sh", "-c", script, "sh", u.cmd.Path}, u.cmd.Args[1:]...)
	u.cmd.Path = "/bin/sh"
	return u
}

func TestStartOnNoexecMount(t *testing.T) {
	dir := t.TempDir()
	u := command(t, &made, "--", filepath.Join(dir, "app"))
	u.inShell("mount -t tmpfs -o noexec none " + dir + " && cp /bin/true " + dir + "/app && exec \"$@\"").begin().want(126)
	u.explained("it is on a file system that is mounted noexec", "exec")
}

// A root file system without /bin/sh, by a chroot that has usher and a script, and nothing else.
func TestStartWithoutShell(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "app"), []byte("exit 0\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("cp", made.path, filepath.Join(dir, "usher")).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, c := range []struct {
		command, says, hint string
		code                int
	}{
		{"/app", `it has no #! line, and "/bin/sh" is not there`, "begin it with #!", 126},
		{"sh", `not found in PATH`, "this image has no shell", 127},
		{"/bin/sh", `no such file: there is no directory "/bin"`, "this image has no shell", 127},
	} {
		u := command(t, &made, "--", c.command)
		u.inShell("shift; exec chroot " + dir + " /usher \"$@\"").begin().want(c.code)
		u.explained(c.says, c.hint)
	}
}

// Not as root: what its modes forbid it.
func TestStartWithoutPermission(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root, to become somebody else")
	}
	dir := filepath.Join(t.TempDir(), "secret")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, mode := range map[string]os.FileMode{"open": 0o755, "../mine": 0o750, "../unreadable": 0o711} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/no/such/interpreter\n"), mode); err != nil {
			t.Fatal(err)
		}
	}
	for d := filepath.Dir(dir); d != "/" && strings.HasPrefix(d, os.TempDir()+"/"); d = filepath.Dir(d) {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		command, says string
		code          int
	}{
		{dir + "/open", "it can't be reached: uid 65534 may not search \"" + dir + "\"", 126},
		{filepath.Join(dir, "../mine"), "it may not be run by uid 65534 (permission denied): mode 750, owner 0:0", 126},
		{filepath.Join(dir, "../unreadable"), "it can't be read", 126},
		{"open", "not found in PATH", 127}, // what can't be seen is not found
		{"mine", "may not be run by uid 65534", 126},
	} {
		u := command(t, &made, "--", c.command)
		u.cmd.SysProcAttr.Credential = &syscall.Credential{Uid: 65534, Gid: 65534}
		u.cmd.Env = append(noLog, "PATH="+dir+":"+filepath.Dir(dir))
		u.begin().want(c.code)
		u.explained(c.says, "")

		// As root who drops, usher can see and read it all.
		u = command(t, &made, "--user", "65534:65534", "--", c.command)
		u.cmd.Env = append(noLog, "PATH="+dir+":"+filepath.Dir(dir))
		code, says := c.code, c.says
		switch c.command {
		case "open":
			code, says = 126, `"`+dir+`/open" can't be reached: uid 65534 may not search`
		case filepath.Join(dir, "../unreadable"):
			says = `its interpreter "/no/such/interpreter" is not there`
		}
		u.begin().want(code)
		u.explained(says, "")
	}
}

// Something has the program open for writing.
func TestStartBusyFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app")
	if err := os.WriteFile(path, patchELF(t, nil), 0o755); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	u := start(t, &made, "--", path)
	u.want(126)
	u.explained("text file busy", "open for writing")
}

// The kernel counts the path of a file and of its interpreter as well, so that a script may be too long where usher was not: a
// script whose path is long, found by a short name.
func TestStartTooBig(t *testing.T) {
	dir := t.TempDir()
	for len(dir) < 3000 {
		dir += "/" + strings.Repeat("d", 200)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "app"), []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	// Half a megabyte of stack makes 128 kB for all. From there down, in steps that are smaller than twice the path.
	for size := 130 << 10; size > 100<<10; size -= 1 << 10 {
		args := append([]string{"--", "app"}, slices.Repeat([]string{strings.Repeat("x", 99-8)}, size/100)...)
		u := command(t, &made, args...)
		u.cmd.Env = append(noLog, "PATH="+dir, "FOO_SERVICE_PORT=80")
		u.inShell("ulimit -s 512; exec \"$@\"")
		code := u.begin().wait()
		if strings.HasPrefix(u.stderr.String(), "usher: ") {
			if code != 126 {
				t.Errorf("exit code %d", code)
			}
			u.explained("argument list too long", "enableServiceLinks: false")
			return
		}
		if code == 0 {
			t.Fatalf("with %d bytes the script was started", size)
		}
	}
	t.Error("usher could not be started")
}

// A limit of processes that leaves no room for usher's threads and the app is explained: how much it is, unless it has no room for what the Go
// runtime needs to get there, and for the log.
func TestStartTooManyProcesses(t *testing.T) {
	if !made.complete || os.Getuid() != 0 {
		t.Skip("needs an entry point of our own, and root, to become somebody who has no other process")
	}
	for n, c := range []struct {
		flag  string
		least int // how many processes are enough
	}{{"-q", 7}, {"--", 7}, {"--health-addr=127.0.0.1:0", 8}, {"--termination-tail=5", 10}} {
		for limit := 1; limit <= c.least; limit++ {
			t.Run(fmt.Sprint(c.flag, " ", limit), func(t *testing.T) {
				t.Parallel()
				u := command(t, &made, c.flag, "true")
				u.inShell(fmt.Sprintf("exec prlimit --nproc=%d:%[1]d setpriv --reuid %d --regid %[2]d --clear-groups \"$@\"", limit, 54300+10*n+limit))
				code := u.begin().wait()
				if limit == c.least {
					if code != 0 {
						t.Errorf("exit code %d\n%s", code, &u.stderr)
					}
					return
				}
				if code != 125 {
					t.Errorf("exit code %d, want 125", code)
				}
				if limit < 4 && strings.Contains(u.stderr.String(), "usher: hint: the limit of processes is full: ") {
					return
				}
				u.explained("cannot fork: resource temporarily unavailable", fmt.Sprintf("(ulimit -u, RLIMIT_NPROC) is %d", limit))
			})
		}
	}
	// It is not waited for, either.
	u := command(t, &made, "--wait-for=file:/missing", "--wait-timeout=0", "true")
	u.inShell("exec prlimit --nproc=5:5 setpriv --reuid 54299 --regid 54299 --clear-groups \"$@\"")
	u.begin().want(125)
	u.explained("cannot fork: resource temporarily unavailable", "(ulimit -u, RLIMIT_NPROC) is 5")
}

// PATH is searched as execvp(3) does: on past what can't be run, which only counts if nothing else is found.
func TestPATH(t *testing.T) {
	bad, good := t.TempDir(), t.TempDir()
	for dir, mode := range map[string]os.FileMode{bad: 0o644, good: 0o755} {
		if err := os.WriteFile(filepath.Join(dir, "app"), []byte("#!/bin/sh\nexit 5\n"), mode); err != nil {
			t.Fatal(err)
		}
	}
	eachBuild(t, func(t *testing.T, b *build) {
		for _, c := range []struct {
			path, dir, name string
			code            int
		}{
			{"PATH=" + bad + ":" + good, "/", "app", 5},
			{"PATH=" + good + ":" + bad, "/", "app", 5},
			{"PATH=/no/such/dir:" + bad, "/", "app", 126},
			{"PATH=/no/such/dir", "/", "app", 127},
			{"PATH=/no/such/dir:", good, "app", 5}, // an empty element is the current directory
			{"PATH=.", good, "app", 5},
			{"PATH=/no/such/dir", good, "./app", 5},
			{"PATH=", good, "app", 5},
			{"HOME=/", "/", "true", 0}, // no PATH: the default one
		} {
			u := command(t, b, c.name)
			u.cmd.Env, u.cmd.Dir = append(noLog, c.path), c.dir
			if got := u.begin().wait(); got != c.code {
				t.Errorf("%s in %s, %s: %d, want %d\n%s", c.name, c.dir, c.path, got, c.code, &u.stderr)
			}
		}
	})
}

// newLog is an empty termination log, as kubelet makes it.
func newLog(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "termination-log")
	if err := os.WriteFile(path, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	return path
}

func readLog(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
