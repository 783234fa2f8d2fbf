package testmain

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The test binary also runs as the test binary of another package, whose tests
// are one script.
const helperEnv = "TESTMAIN_TEST"

func TestMain(m *testing.M) {
	script := os.Getenv(helperEnv)
	if script == "" {
		Main(m.Run)
	}
	patience = 500 * time.Millisecond
	Main(func() int {
		cmd := exec.Command("sh", "-c", script)
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr // no pipe that would have to be closed
		_ = cmd.Run()
		return cmd.ProcessState.ExitCode()
	}, "USHER_KEPT*")
}

// helper returns such a test binary. A shell starts it, after it has run
// prepare.
func helper(prepare, script string, env ...string) (cmd *exec.Cmd, out *strings.Builder) {
	cmd = exec.Command("bash", "-c", prepare+`; exec "$0"`, os.Args[0])
	cmd.Env = slices.DeleteFunc(os.Environ(), func(variable string) bool { return strings.HasPrefix(variable, kept+"=") })
	cmd.Env = append(append(cmd.Env, helperEnv+"="+script), env...)
	out = &strings.Builder{}
	cmd.Stdout, cmd.Stderr = out, out
	cmd.WaitDelay = 10 * time.Second
	return cmd, out
}

// Tests and their children always see the same state, whatever the caller has
// done.
func TestState(t *testing.T) {
	dir := filepath.Join(t.TempDir(), strings.Repeat("deep/", 20))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	const script = `grep -E '^Sig(Ign|Blk)' /proc/self/status; echo umask $(umask); echo stdin $(readlink /proc/self/fd/0); [ ${#TMPDIR} -lt 40 ] && echo short
env | grep -E '^(USHER|LC_|LANG|MAKE|GOFLAGS|NOTIFY|BASH_ENV)'; echo terminal $(cut -d' ' -f7 /proc/self/stat)`
	cmd, out := helper(`trap '' HUP INT QUIT TSTP TTOU USR1; umask 077; exec <&-`, script, "TMPDIR="+dir, "USHER_TERM_DELAY=1h", "USHER_KEPT_ONE=1", "LC_ALL=C.UTF-8", "LANG=C",
		"MAKEFLAGS=n", "GOFLAGS=-race -mod=mod -v", "NOTIFY_SOCKET=/n")
	runtime.LockOSThread()
	var blocked, before unix.Sigset_t
	for _, sig := range []unix.Signal{unix.SIGUSR2, unix.SIGALRM, unix.SIGTTIN} {
		blocked.Val[0] |= 1 << (sig - 1)
	}
	if err := unix.PthreadSigmask(unix.SIG_BLOCK, &blocked, &before); err != nil {
		t.Fatal(err)
	}
	err := cmd.Run()
	if err := unix.PthreadSigmask(unix.SIG_SETMASK, &before, nil); err != nil {
		t.Fatal(err)
	}
	runtime.UnlockOSThread()
	got := out.String()
	want := "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\numask 0022\nstdin /dev/null\nshort\nGOFLAGS=-mod=mod\nUSHER_KEPT_ONE=1\nterminal 0\n"
	if err != nil || got != want {
		t.Errorf("%v:\n%swant:\n%s", err, got, want)
	}
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// Processes that outlive the tests are named and killed, and fail the run.
func TestSurvivors(t *testing.T) {
	for name, c := range map[string]struct {
		script string
		code   int
		says   []string
	}{
		"none":       {"sleep 0.1 & sleep 0.2 & wait", 0, nil},
		"about to":   {"(sleep 0.2 & )", 0, nil},
		"child":      {"exec sleep 1001 >/dev/null 2>&1 & exit 0", 1, []string{"processes have outlived the tests and were killed:", ": sleep 1001\n"}},
		"own groups": {"set -m; (setsid sh -c 'sleep 1002 & sleep 1003') >/dev/null 2>&1 & sleep 0.3", 1, []string{": sleep 1002", ": sleep 1003"}},
		"stopped":    {"sh -c 'kill -STOP $$' >/dev/null 2>&1 & until grep -q 'State:.T' /proc/$!/status; do sleep 0.01; done", 1, []string{": sh -c kill -STOP"}},
		"a failure":  {"sleep 1004 >/dev/null 2>&1 & exit 3", 3, []string{": sleep 1004"}},
		"killed":     {"sleep 1005 >/dev/null 2>&1 & kill -KILL $PPID", 137, []string{"the tests were killed: killed", ": sleep 1005"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cmd, out := helper(":", c.script)
			_ = cmd.Run()
			if code := cmd.ProcessState.ExitCode(); code != c.code {
				t.Errorf("exit code %d, want %d\n%s", code, c.code, out)
			}
			for _, says := range c.says {
				if !strings.Contains(out.String(), says) {
					t.Errorf("no %q in:\n%s", says, out)
				}
				if _, command, ok := strings.Cut(says, ": sleep "); ok && exec.Command("pgrep", "-f", "^sleep "+command).Run() == nil {
					t.Errorf("still there: %s", says)
				}
			}
		})
	}
}

// An interrupted run leaves nothing behind. A run whose caller ignores the
// signal, as under nohup, goes on.
func TestCalledOff(t *testing.T) {
	for _, c := range []struct {
		prepare string
		sig     unix.Signal
		code    int
	}{{":", unix.SIGTERM, 143}, {"trap '' HUP", unix.SIGHUP, 0}} {
		dir := t.TempDir()
		cmd, out := helper(c.prepare, fmt.Sprintf("sleep 1006 >/dev/null 2>&1 & echo $! >%[1]s/started; while [ ! -e %[1]s/go ]; do sleep 0.01; done; kill $!", dir))
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
			if _, err := os.Stat(dir + "/started"); err == nil {
				break
			}
			if time.Now().After(deadline) {
				t.Fatal("not started")
			}
		}
		if err := cmd.Process.Signal(c.sig); err != nil {
			t.Fatal(err)
		}
		if c.code == 0 {
			if err := os.WriteFile(dir+"/go", nil, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		_ = cmd.Wait()
		if code := cmd.ProcessState.ExitCode(); code != c.code {
			t.Errorf("%v: exit code %d\n%s", c.sig, code, out)
		}
		if exec.Command("pgrep", "-f", "^sleep 1006").Run() == nil {
			t.Errorf("%v: a process is left", c.sig)
		}
	}
}

func TestKillTree(t *testing.T) {
	sleep := fmt.Sprintf("sleep %d", 1_000_000+os.Getpid()) // of no other run of this test
	cmd := exec.Command("sh", "-c", fmt.Sprintf(`setsid sh -c 'while :; do sh -c "%s" & sleep 0.01; done' & sleep 1007 & wait`, sleep))
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(20 * time.Second); len(Descendants(cmd.Process.Pid)) < 5 && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	KillTree(cmd.Process)
	_ = cmd.Wait()
	if all := Descendants(cmd.Process.Pid); len(all) > 0 {
		t.Errorf("%v are left", all)
	}
	if exec.Command("pgrep", "-f", "^"+sleep).Run() == nil {
		t.Error("a process is left")
	}
	KillTree(cmd.Process) // no harm
}
