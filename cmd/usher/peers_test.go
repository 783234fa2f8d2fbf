package main_test

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"usher/signals"
)

// Debian's tini, dumb-init and catatonit, and usher called by their names, go through one table side by side, as PID 1 and not. What the
// peers do is asserted as well: a new version that behaves in another way is to be noticed.

// peerCase is a row: how the init is called, and what is seen of it.
type peerCase struct {
	name  string
	peers string // which of them, with blanks between
	args  []string
	env   []string
	see   func(*peerRun) string // ending by default
	only  string                // "PID 1" or "subreaper"; both if empty
	want  string
	// Where usher differs: what is seen of it, and why.
	usher, differs string
	complete       bool // takes usher's own entry point: os/signal loses signals, and delivers two in any order
}

// peerRun is one init in one row.
type peerRun struct {
	t    *testing.T
	c    *peerCase
	b    *build
	pid1 bool
}

// command prepares the init with the row's flags and a command.
func (r *peerRun) command(app ...string) *usher {
	r.t.Helper()
	args := append(append([]string{}, r.c.args...), app...)
	var u *usher
	if r.pid1 {
		u = command(r.t, r.b, args...)
	} else {
		u = commandHere(r.t, r.b, args...)
	}
	u.cmd.Env = append(append(u.cmd.Env, r.c.env...), "GORACE=atexit_sleep_ms=0") // or a racing usher takes a second to end
	return u
}

// sh runs a script as the app.
func (r *peerRun) sh(script string) *usher {
	r.t.Helper()
	return r.command("--", "sh", "-c", script).begin()
}

// bash runs a script as the app. It forks, while sh may wait for a child of vfork(2), which a signal can stop.
func (r *peerRun) bash(script string) *usher {
	r.t.Helper()
	return r.command("--", "bash", "-c", script).begin()
}

func TestPeers(t *testing.T) {
	dir := t.TempDir()
	for _, peer := range []string{"tini", "dumb-init", "catatonit"} {
		t.Run(peer, func(t *testing.T) {
			actual, err := exec.LookPath(peer)
			if err != nil {
				t.Skipf("no %s to compare with: %v", peer, err)
			}
			inits := []*build{{name: "peer", path: actual, complete: true}}
			for _, b := range builds {
				link := filepath.Join(dir, b.name, peer)
				if err := os.MkdirAll(filepath.Dir(link), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.Symlink(b.path, link); err != nil {
					t.Fatal(err)
				}
				inits = append(inits, &build{name: b.name, path: link, complete: b.complete})
			}
			for _, c := range peerCases(t) {
				if !strings.Contains(" "+c.peers+" ", " "+peer+" ") {
					continue
				}
				if (c.usher == "") != (c.differs == "") {
					t.Fatalf("%s: a difference takes a reason", c.name)
				}
				if c.see == nil {
					c.see = ending
				}
				t.Run(c.name, func(t *testing.T) {
					for _, as := range []string{"PID 1", "subreaper"} {
						for _, b := range inits {
							if c.only != "" && c.only != as || c.complete && !b.complete {
								continue
							}
							t.Run(as+" "+b.name, func(t *testing.T) {
								t.Parallel()
								want := c.want
								if b != inits[0] && c.differs != "" {
									want = c.usher
								}
								if got := c.see(&peerRun{t, &c, b, as == "PID 1"}); got != want {
									t.Errorf("%q, want %q", got, want)
								}
							})
						}
					}
				})
			}
		})
	}
}

// ending runs the row's flags, a command among them, and sees the exit code.
func ending(r *peerRun) string {
	return fmt.Sprintf("exit %d", r.command().begin().wait())
}

// endingStreams sees the exit code, and which streams something is on.
func endingStreams(r *peerRun) string {
	u := r.command().begin()
	got := fmt.Sprintf("exit %d", u.wait())
	if u.stdout.String() != "" {
		got += ", stdout"
	}
	if u.stderr.String() != "" {
		got += ", stderr"
	}
	return got
}

// firstWords sees how the first line begins, on either stream.
func firstWords(n int) func(*peerRun) string {
	return func(r *peerRun) string {
		u := r.command().begin()
		u.wait()
		words := strings.Fields(u.stdout.String() + u.stderr.String())
		return strings.Join(words[:min(n, len(words))], " ")
	}
}

// stdout sees what the app writes.
func stdout(script string) func(*peerRun) string {
	return func(r *peerRun) string {
		u := r.bash(script)
		u.wait()
		return strings.TrimSpace(u.stdout.String())
	}
}

// lost sends every signal but those in except, and sees which do not reach the app. The last real-time signal comes after each: an init
// takes the lower number first.
func lost(except ...signals.Signal) func(*peerRun) string {
	return func(r *peerRun) string {
		u := r.command("--", receiver).begin()
		u.printed("ready\n")
		last := fmt.Sprintf("\n%d ", int(signals.RTMax))
		var missing []string
		sent := 0
		for _, sig := range forwardable() {
			if slices.Contains(except, sig) || sig == unix.SIGTERM || sig == signals.RTMax {
				continue
			}
			u.signal(sig)
			u.signal(signals.RTMax)
			sent++
			eventually(r.t, func() error {
				if n := strings.Count(u.stdout.String(), last); n < sent {
					return fmt.Errorf("%d of %d after %v\n%s", n, sent, sig, &u.stderr)
				}
				return nil
			})
			if !strings.Contains(u.stdout.String(), fmt.Sprintf("\n%d ", int(sig))) {
				missing = append(missing, fmt.Sprint(int(sig)))
			}
		}
		u.signal(unix.SIGTERM)
		u.want(42)
		if len(missing) == 0 {
			return "none"
		}
		return strings.Join(missing, " ")
	}
}

// becomes sends sig and sees which one the app gets; "nothing" if the one after it is the first. Bash does not always run its traps in order.
func becomes(sig signals.Signal) func(*peerRun) string {
	return func(r *peerRun) string {
		u := r.sh(strings.Replace(trapAll(), "trap 'exit 42' TERM", "trap 'echo got 15.' TERM; trap 'exit 42' 63", 1))
		u.printed("ready\n")
		u.signal(sig)
		if r.c.want == "nothing" {
			u.signal(signals.RTMax)
		}
		u.printed("got ")
		u.printed(".\n")
		got := strings.Fields(strings.TrimPrefix(u.stdout.String(), "ready\n"))
		u.signal(signals.RTMax - 1)
		u.want(42)
		if got[1] == "64." {
			return "nothing"
		}
		return got[1]
	}
}

// who sees whether a signal reaches the app alone, or its child in the same group, too.
func who(r *peerRun) string {
	u := r.sh(script("who.sh"))
	u.printed("app ready")
	u.printed("child ready")
	u.signal(unix.SIGUSR1)
	u.printed("app got it")
	u.signal(unix.SIGHUP)
	u.printed("marker")
	got := "app"
	if strings.Contains(u.stdout.String(), "child got it") {
		got = "app and child"
	}
	u.signal(unix.SIGTERM)
	u.want(42)
	return got
}

// state is a script that says how the app is placed.
var state = script("place.sh")

// place sees the app's process group, session and terminal, where usher has none.
func place(r *peerRun) string {
	u := r.sh(state)
	u.want(0)
	return strings.TrimSpace(u.stdout.String())
}

// placeOnTerminal sees the same for an init that is called as `docker run -it` does.
func placeOnTerminal(r *peerRun) string {
	u := r.command("--", "bash", "-c", state)
	screen, _ := onTerminal(r.t, u)
	u.want(0)
	shows(r.t, screen, ";")
	got, _, _ := strings.Cut(screen.String(), "\r")
	return got
}

// hangups sees how often the app gets SIGHUP when one is sent to an init that has had a terminal from its start.
func hangups(r *peerRun) string {
	u := r.command("--", "sh", "-c", `trap 'echo "<hup>"' HUP; trap 'echo "<cont>"' CONT; trap 'echo "<winch>"' WINCH; trap 'exit 42' TERM; echo "<ready>"; while :; do sleep 0.01; done`)
	screen, _ := onTerminal(r.t, u)
	shows(r.t, screen, "<ready>")
	u.signal(unix.SIGWINCH) // what the hand-off has brought has a lower number, and would else be one with what follows
	shows(r.t, screen, "<winch>")
	u.signal(unix.SIGHUP)
	u.signal(unix.SIGCONT)
	shows(r.t, screen, "<hup>")
	shows(r.t, screen, "<cont>")
	u.signal(unix.SIGTERM)
	u.want(42)
	return fmt.Sprintf("%d HUP, %d CONT", strings.Count(screen.String(), "<hup>"), strings.Count(screen.String(), "<cont>"))
}

// children are the pids that the kernel lists as usher's children, with their states.
func (u *usher) children() map[string]string {
	u.t.Helper()
	kids, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", u.cmd.Process.Pid, u.cmd.Process.Pid))
	if err != nil {
		u.t.Skipf("the kernel does not list children: %v", err)
	}
	states := map[string]string{}
	for _, kid := range strings.Fields(string(kids)) {
		states[kid] = stateOf(kid)
	}
	return states
}

// stateOf is the letter of proc_pid_stat(5).
func stateOf(pid string) string {
	b, _ := os.ReadFile("/proc/" + pid + "/stat")
	_, rest, _ := strings.Cut(string(b), ") ")
	return rest[:min(1, len(rest))]
}

// jobControl sends a job control signal and sees what becomes of the app and of the init; then SIGCONT has to bring both back.
func jobControl(sig signals.Signal) func(*peerRun) string {
	return func(r *peerRun) string {
		u := r.bash(trapAll())
		u.printed("ready\n")
		self := fmt.Sprint(u.cmd.Process.Pid)
		told := fmt.Sprintf("got %d.\n", sig)
		u.signal(sig)
		u.signal(signals.RTMax) // what does not stop has this next
		got := ""
		eventually(r.t, func() error {
			out := u.stdout.String()
			app := "?"
			for _, s := range u.children() {
				app = s
			}
			switch {
			case stateOf(self) == "T" && app == "T":
				got = "both stopped"
			case stateOf(self) == "T" && strings.Contains(out, told):
				got = "app told, init stopped"
			case !strings.Contains(out, "got 64.\n"):
				return fmt.Errorf("init %s, app %s: %s", stateOf(self), app, out)
			case strings.Contains(out, told):
				got = "app told"
			default:
				got = "nothing"
			}
			return nil
		})
		u.signal(unix.SIGCONT)
		u.printed("got 64.\n")
		u.signal(unix.SIGTERM)
		u.want(42)
		return got
	}
}

// adopted sees whether an orphan becomes the init's.
var adopted = stdout(`p=$( (m=$BASHPID; ( p=$m; while [ $p = $m ]; do sleep 0.01; read -r _ _ _ p _ </proc/$BASHPID/stat; done; echo $p) & ) )
[ $p = "$(cut -d' ' -f4 /proc/$$/stat)" ] && echo adopted || echo left alone`)

// warnings counts what tini -w says about orphans.
func warnings(r *peerRun) string {
	u := r.sh(`(sleep 0.05 &); (sleep 0.06 &); trap 'exit 42' TERM; echo ready; while :; do sleep 0.01; done`)
	u.printed("ready\n")
	eventually(r.t, func() error {
		if kids := u.children(); len(kids) != 1 {
			return fmt.Errorf("orphans are left: %v", kids)
		}
		return nil
	})
	u.signal(unix.SIGTERM)
	u.want(42)
	pid := "1"
	if !r.pid1 {
		pid = fmt.Sprint(u.cmd.Process.Pid)
	}
	return fmt.Sprintf("%d warnings", len(regexp.MustCompile(`(?m)^\[WARN  tini \(`+pid+`\)\] Reaped zombie process with pid=\d+$`).FindAllString(u.stderr.String(), -1)))
}

// reaping sees whether any of many orphans is left as a zombie.
func reaping(r *peerRun) string {
	u := r.sh(`trap 'exit 42' TERM; i=0; while [ $i -lt 200 ]; do i=$((i+1)); ( : & ); done; echo ready; while :; do sleep 0.01; done`)
	u.printed("ready\n")
	eventually(r.t, func() error {
		if kids := u.children(); len(kids) != 1 {
			return fmt.Errorf("orphans are left: %v", kids)
		}
		return nil
	})
	u.signal(unix.SIGTERM)
	u.want(42)
	return "all reaped"
}

// parentDeath sees whether the app gets SIGUSR1 when the init's parent dies.
func parentDeath(r *peerRun) string {
	script := `trap 'now=1' USR1; trap 'exit 0' TERM; bash -c '"$@" & wait' - "$@" & parent=$!
until [ "$now" ]; do sleep 0.01; done; kill -9 $parent; while :; do sleep 0.01; done`
	args := append([]string{"-c", script, "-", r.b.path}, r.c.args...)
	u := command(r.t, &build{path: "/bin/bash"}, append(args, "--", "sh", "-c", `trap 'echo "got it"' USR1; echo ready; while :; do sleep 0.01; done`)...)
	u.cmd.Env = append(u.cmd.Env, r.c.env...)
	u.begin().printed("ready\n")
	u.signal(unix.SIGUSR1)
	u.printed("got it\n")
	u.signal(unix.SIGTERM)
	u.want(0)
	return "told"
}

// straggling sees whether what outlives the app is told so.
func straggling(r *peerRun) string {
	u := r.command("--", "bash", "-c", `exec 3< <(exec setsid bash -c "$0"); read -u 3 up; exit 7`,
		`trap 'echo told >&2; exit' TERM; echo up; while :; do sleep 0.01; done`).begin()
	u.want(7)
	if strings.Contains(u.stderr.String(), "told") {
		return "told"
	}
	return "killed"
}

// leftBehind sees what becomes of a process that outlives the app, and the init. It writes to a file of its own: nobody waits for that.
func leftBehind(prefix string) func(*peerRun) string {
	return func(r *peerRun) string {
		said := filepath.Join(r.t.TempDir(), "said")
		u := r.command("--", "bash", "-c", `exec 3< <(exec `+prefix+` bash -c "$0" 2>"$1"); read -u 3 up; echo "$up"; exit 7`, `
for i in 1 15; do trap "echo sent $i >&2" $i; done; trap "echo marked >&2" 64; trap 'exit 0' USR1
echo $$; exec >&-; for i in {1..2000}; do sleep 0.01; done`, said).begin()
		u.want(7)
		pid, err := strconv.Atoi(strings.TrimSpace(u.stdout.String()))
		if err != nil {
			r.t.Fatal(err)
		}
		unix.Kill(pid, signals.RTMax) // which comes after all others
		for gone := false; ; time.Sleep(2 * time.Millisecond) {
			out := readLog(r.t, said)
			sent := regexp.MustCompile(`sent \d+`).FindString(out) // a shell also says what has become of its child
			switch {
			case gone:
				return "ended " + sent
			case strings.Contains(out, "marked"):
				unix.Kill(pid, unix.SIGUSR1)
				return cmp.Or(sent, "left")
			}
			gone = unix.Kill(pid, 0) != nil || stateOf(fmt.Sprint(pid)) == "Z"
		}
	}
}

// directories sees the working directories of the init, once it hands on signals, and of its app.
func directories(r *peerRun) string {
	u := r.command("--", "sh", "-c", `trap 'echo got it' USR1; trap 'exit 42' TERM; pwd; while :; do sleep 0.01; done`)
	u.cmd.Dir = "/usr"
	u.begin().printed("\n")
	u.signal(unix.SIGUSR1)
	u.printed("got it\n")
	dir, err := os.Readlink(fmt.Sprintf("/proc/%d/cwd", u.cmd.Process.Pid))
	if err != nil {
		r.t.Fatal(err)
	}
	u.signal(unix.SIGTERM)
	u.want(42)
	app, _, _ := strings.Cut(u.stdout.String(), "\n")
	return "init in " + dir + ", app in " + app
}

// inherited sees whether a signal that was ignored is ignored for the app.
func inherited(r *peerRun) string {
	u := r.command("--", "grep", "SigIgn", "/proc/self/status")
	u.cmd.Args = append([]string{"sh", "-c", `trap '' HUP; exec "$@"`, "-", u.cmd.Path}, u.cmd.Args[1:]...)
	u.cmd.Path = "/bin/bash"
	u.begin().want(0)
	if strings.HasSuffix(strings.TrimSpace(u.stdout.String()), "1") {
		return "ignored"
	}
	return "not ignored"
}

// paused sends an init without an app a signal that it has no use for, and one that ends it.
func paused(end signals.Signal) func(*peerRun) string {
	return func(r *peerRun) string {
		u := r.command().begin()
		if r.b.name == "peer" {
			blocked := regexp.MustCompile(`(?m)^SigBlk:\s+[0-9a-f]*[^0][0-9a-f]+$`)
			eventually(r.t, func() error {
				status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", u.cmd.Process.Pid))
				if err == nil && !blocked.Match(status) {
					err = errors.New("it has not blocked its signals")
				}
				return err
			})
		} else {
			u.logged("pausing")
		}
		u.signal(unix.SIGUSR1)
		u.signal(end)
		return fmt.Sprintf("exit %d", u.wait())
	}
}
