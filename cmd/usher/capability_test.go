package main_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// This test binary, called so, prints what it may do: to be run by usher.
func init() {
	if len(os.Args) != 3 || os.Args[1] != "print-rights-to" {
		return
	}
	var out []string
	status, err := os.ReadFile("/proc/self/status")
	for line := range strings.Lines(string(status)) {
		if name, _, _ := strings.Cut(line, ":"); slices.Contains([]string{"Uid", "Gid", "Groups", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp"}, name) {
			out = append(out, strings.TrimSpace(line))
		}
	}
	personality, _, _ := unix.Syscall(unix.SYS_PERSONALITY, 0xffffffff, 0, 0)
	dumpable, _, _ := unix.Syscall(unix.SYS_PRCTL, unix.PR_GET_DUMPABLE, 0, 0)
	securebits, _, _ := unix.Syscall(unix.SYS_PRCTL, unix.PR_GET_SECUREBITS, 0, 0)
	out = append(out, fmt.Sprintf("personality %#x, dumpable %d, securebits %#x", personality, dumpable, securebits), "")
	if err == nil {
		err = os.WriteFile(os.Args[2]+".part", []byte(strings.Join(out, "\n")), 0o644)
	}
	if err == nil {
		err = os.Rename(os.Args[2]+".part", os.Args[2])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// printer is this test binary, where any user can run it.
var printer = sync.OnceValues(func() (string, error) {
	path := filepath.Join(filepath.Dir(made.path), "print-rights")
	b, err := os.ReadFile("/proc/self/exe")
	if err == nil {
		err = os.WriteFile(path, b, 0o755)
	}
	return path, err
})

// effective are the effective capabilities of usher's threads, each once.
func (u *usher) effective() (sets []uint64) {
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", u.cmd.Process.Pid))
	for _, task := range tasks {
		status, _ := os.ReadFile(task)
		for line := range strings.Lines(string(status)) {
			if set, ok := strings.CutPrefix(line, "CapEff:"); ok {
				n, _ := strconv.ParseUint(strings.TrimSpace(set), 16, 64)
				sets = append(sets, n)
			}
		}
	}
	slices.Sort(sets)
	return slices.Compact(sets)
}

// Once the app runs, all that usher holds on any thread is CAP_KILL, whatever it may have to do later, and root without it holds nothing.
func TestCapabilitiesOfUsher(t *testing.T) {
	if os.Getuid() != 0 || !made.complete {
		t.Skip("needs root, and the entry point")
	}
	before := (&usher{cmd: &exec.Cmd{Process: &os.Process{Pid: os.Getpid()}}}).effective()
	if len(before) != 1 || before[0] == 1<<unix.CAP_KILL {
		t.Skipf("there is nothing to lower: %x", before)
	}
	dir := t.TempDir()
	app := []string{"--", "sh", "-c", "trap 'exit 42' TERM; echo ready; while :; do sleep 0.01; done"}
	for _, flags := range [][]string{
		nil, // started before the Go runtime
		{"-v"},
		{"--user", "65534:65534"},
		{"--user", "65534:65534", "--restart", "always", "--termination-tail", "3", "--termination-log", filepath.Join(dir, "log"), "--pre-start", "true",
			"--post-start", "exec:true", "--pre-stop", "exec:true", "--live-check", "exec:true", "--live-period", "1s", "--ready-check", "file:" + dir,
			"--ready-period", "1s", "--startup-check", "notify:", "--health-addr", "unix:" + dir + "/health", "--term-delay", "10ms", "--quiet-period", "5ms"},
	} {
		u := start(t, &made, append(flags, app...)...)
		u.printed("ready\n")
		want := []uint64{1 << unix.CAP_KILL}
		eventually(t, func() error { // what it has raised for a moment it lowers
			if got := u.effective(); !slices.Equal(got, want) {
				return fmt.Errorf("%q: usher's threads have %x, want %x", flags, got, want)
			}
			return nil
		})
		u.signal(unix.SIGTERM)
		u.want(42)
	}
	if _, err := exec.LookPath("setpriv"); err != nil {
		t.Skip("needs setpriv for the rest")
	}
	u := command(t, &made, app...)
	u.cmd.Path, u.cmd.Args = "/bin/sh", append([]string{"sh", "-c", `exec setpriv --bounding-set -kill "$@"`, "sh", made.path}, app...)
	u.begin().printed("ready\n")
	if got := u.effective(); !slices.Equal(got, []uint64{0}) {
		t.Errorf("without CAP_KILL, usher's threads have %x", got)
	}
}

// What usher does without shows nowhere: the app, when it is started and when it is started again, hooks and checks may do exactly what they might
// without usher, however that was started.
func TestRightsAreHandedOn(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
	if _, err := exec.LookPath("setpriv"); err != nil {
		t.Skip(err)
	}
	rights, err := printer()
	if err != nil {
		t.Fatal(err)
	}
	const docker = "-all,+chown,+dac_override,+fsetid,+fowner,+mknod,+net_raw,+setgid,+setuid,+setfcap,+setpcap,+net_bind_service,+sys_chroot,+kill,+audit_write"
	const nobody = "setpriv --reuid 65534 --regid 65534 --clear-groups "
	// Securebits: NOROOT, and NO_SETUID_FIXUP.
	for _, c := range []struct{ name, as, flags, bare string }{
		{"root", "", "", ""},
		{"Docker's default", "setpriv --bounding-set " + docker, "", ""},
		{"no capabilities", "setpriv --bounding-set -all", "", ""},
		{"no new privileges", "setpriv --no-new-privs --bounding-set " + docker, "", ""},
		{"inheritable", "setpriv --inh-caps +net_raw,+sys_admin --groups 27,44", "", ""},
		{"ambient root", "setpriv --inh-caps +net_raw --ambient-caps +net_raw", "", ""},
		{"no root", "setpriv --securebits +noroot,+noroot_locked --inh-caps +kill,+chown --ambient-caps +kill,+chown", "", ""},
		{"no fixup", "setpriv --securebits +no_setuid_fixup", "", ""},
		{"user", nobody, "", ""},
		{"user, ambient", nobody + "--inh-caps +net_raw,+kill,+chown --ambient-caps +net_raw,+kill,+chown", "", ""},
		{"user, locked down", nobody + "--no-new-privs --bounding-set -all", "", ""},
		{"personality", "setarch -R", "", ""},
		{"--user", "", "--user 65534:65534", "setpriv --reuid 65534 --regid 65534 --groups 65534"},
		{"--user, Docker's default", "setpriv --bounding-set " + docker, "--user 65534:65534", "setpriv --reuid 65534 --regid 65534 --groups 65534"},
		{"--no-new-privs", "", "--no-new-privs", "setpriv --no-new-privs"},
		{"--user, --no-new-privs", "", "--user 65534:65534 --no-new-privs", "setpriv --reuid 65534 --regid 65534 --groups 65534 --no-new-privs"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			for d := dir; d != os.TempDir() && d != "/"; d = filepath.Dir(d) {
				os.Chmod(d, 0o755)
			}
			if err := os.Chmod(dir, 0o777); err != nil {
				t.Fatal(err)
			}
			to := func(name string) string { return rights + " print-rights-to " + filepath.Join(dir, name) }
			read := func(name string) string {
				b, _ := os.ReadFile(filepath.Join(dir, name))
				return string(b)
			}
			if out, err := exec.Command("sh", "-c", "exec "+c.as+" "+c.bare+" "+to("bare")).CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			want := read("bare")
			compare := func(name string) {
				t.Helper()
				if got := read(name); got != want {
					t.Errorf("%s:\n%swant\n%s", name, got, want)
				}
			}
			eachBuild := func(name string, b *build) {
				os.Remove(filepath.Join(dir, "live"))
				os.Remove(filepath.Join(dir, "app"))
				app := fmt.Sprintf(`if [ ! -e %[1]s/app ]; then %[2]s; exit 1; fi; %[3]s; while [ ! -e %[1]s/live ] || [ ! -s %[1]s/post-start ]; do sleep 0.01; done`, dir, to("app"), to("again"))
				flags := strings.Fields(c.as + " " + b.path + " --restart on-failure " + c.flags)
				u := command(t, b)
				u.cmd.Path = "/usr/bin/env"
				u.cmd.Args = slices.Concat([]string{"env"}, flags, []string{"--pre-start", to("pre-start"), "--post-start", "exec:" + to("post-start"), "--post-stop", "exec:" + to("post-stop"),
					"--wait-for", "exec:" + to("wait-for"), "--live-check", "exec:" + to("live"), "--live-period", "1s", "--live-timeout", "10s", "--", "sh", "-c", app})
				u.begin().want(0)
				for _, role := range []string{"wait-for", "pre-start", "app", "post-start", "again", "live", "post-stop"} {
					compare(role)
				}
				if t.Failed() {
					t.Logf("%s: %s", name, &u.stderr)
				}
			}
			for _, b := range builds {
				eachBuild(b.name, b)
			}
			if c.flags == "" { // started before the Go runtime
				u := command(t, &made)
				u.cmd.Path = "/usr/bin/env"
				u.cmd.Args = append(append([]string{"env"}, strings.Fields(c.as+" "+made.path+" --")...), strings.Fields(to("early"))...)
				u.begin().want(0)
				compare("early")
			}
		})
	}
}

// What usher did as root it does still: in another user's closed directory it keeps its log and its socket, and looks for what checks name.
func TestRightsForOthersDirectories(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
	eachBuild(t, func(t *testing.T, b *build) {
		dir := filepath.Join(t.TempDir(), "closed")
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"file", "log"} {
			if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		l, err := net.Listen("unix", filepath.Join(dir, "socket"))
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		for _, path := range []string{dir, dir + "/file", dir + "/log", dir + "/socket"} {
			mode := os.FileMode(0o600)
			if path == dir {
				mode = 0o700
			}
			if err := os.Chown(path, 65534, 65534); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(path, mode); err != nil {
				t.Fatal(err)
			}
		}
		u := start(t, b, "--termination-log", dir+"/log", "--health-addr", "unix:"+dir+"/health", "--ready-period", "1s", "--ready-check", "file:"+dir+"/file",
			"--ready-check", "unix://"+dir+"/socket", "--", "sh", "-c", "trap 'exit 42' TERM; while :; do sleep 0.01; done")
		eventually(t, func() error {
			probe := exec.Command(b.path, "--probe", "readyz", "--health-addr", "unix:"+dir+"/health")
			if out, err := probe.CombinedOutput(); err != nil {
				return fmt.Errorf("%v: %s", err, out)
			}
			return nil
		})
		for _, probe := range []string{"file:" + dir + "/file", "unix://" + dir + "/socket"} {
			if out, err := exec.Command(b.path, "--probe", probe).CombinedOutput(); err != nil {
				t.Errorf("--probe %s: %v: %s", probe, err, out)
			}
		}
		u.signal(unix.SIGTERM)
		u.want(42)
		if word := readLog(t, dir+"/log"); !strings.HasPrefix(word, "Error: exit code 42") {
			t.Errorf("the log has %q, stderr %s", word, &u.stderr)
		}
		if _, err := os.Lstat(dir + "/health"); err == nil {
			t.Error("usher's socket is left behind")
		}
	})
}

// Processes that /proc hides from who may do less than they are seen: the app's have more capabilities in effect than usher.
func TestRightsForHiddenProcesses(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
	u := command(t, &made, "-v", "--", "sh", "-c", "sleep 1000 & echo ready; exit 3")
	u.cmd.Args = append([]string{"sh", "-c", `mount -t proc -o hidepid=ptraceable proc /proc && exec setpriv --bounding-set -sys_ptrace "$@"`, "sh", u.cmd.Path}, u.cmd.Args[1:]...)
	u.cmd.Path = "/bin/sh"
	code := u.begin().wait()
	if strings.Contains(u.stderr.String(), "mount:") {
		t.Skipf("no such /proc here: %s", &u.stderr)
	}
	if code != 3 {
		t.Errorf("exit code %d", code)
	}
	if log := u.stderr.String(); !strings.Contains(log, "SIGTERM to what it leaves behind: s") {
		t.Error(log)
	}
}
