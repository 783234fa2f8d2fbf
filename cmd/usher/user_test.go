package main_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestUser(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
	// An image's files, in place of this machine's.
	dir := t.TempDir()
	for name, content := range map[string]string{
		"passwd": "root:x:0:0:root:/root:/bin/sh\napp:x:1001:1002:App:/home/app:/bin/sh\n2000:x:3000:3000:a number as a name:/:/bin/sh\nbroken\n",
		"group":  "root:x:0:\napp:x:1002:\naudio:x:29:app\nvideo:x:44:other,app\nnumbers:x:50:app,app\nbroken\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	as := func(b *build, user string, script string) *usher {
		u := command(t, b, "--user", user, "--", "sh", "-c", script)
		u.cmd.Args = append([]string{"sh", "-c", `mount --bind "$0/passwd" /etc/passwd && mount --bind "$0/group" /etc/group && exec "$@"`, dir, b.path}, u.cmd.Args[1:]...)
		u.cmd.Path = "/bin/sh"
		u.cmd.Env = append(u.cmd.Env, "HOME=/elsewhere")
		return u
	}
	// Real, effective, saved and file-system ids, all of them, or the app could get root back.
	show := `grep -E '^(Uid|Gid|Groups):' /proc/self/status | tr -s '\t ' ' '; echo $HOME`
	four := func(id int) string { return fmt.Sprintf("%d %d %d %d", id, id, id, id) }
	eachBuild(t, func(t *testing.T, b *build) {
		for user, want := range map[string]string{
			"app":        "Uid: " + four(1001) + "\nGid: " + four(1002) + "\nGroups: 29 44 50 1002 \n/home/app\n",
			"1001":       "Uid: " + four(1001) + "\nGid: " + four(1002) + "\nGroups: 29 44 50 1002 \n/home/app\n",
			"app:audio":  "Uid: " + four(1001) + "\nGid: " + four(29) + "\nGroups: 29 \n/home/app\n",
			"app:7":      "Uid: " + four(1001) + "\nGid: " + four(7) + "\nGroups: 7 \n/home/app\n",
			"12345":      "Uid: " + four(12345) + "\nGid: " + four(0) + "\nGroups: 0 \n/elsewhere\n",
			"12345:6789": "Uid: " + four(12345) + "\nGid: " + four(6789) + "\nGroups: 6789 \n/elsewhere\n",
			"2000":       "Uid: " + four(3000) + "\nGid: " + four(3000) + "\nGroups: 3000 \n/\n",
		} {
			u := as(b, user, show).begin()
			u.want(0)
			if got := u.stdout.String(); got != want {
				t.Errorf("--user %s:\n%swant\n%s", user, got, want)
			}
		}
		for user, says := range map[string]string{
			"nobody-here": `no user "nobody-here" in /etc/passwd`, "app:nothing": `no group "nothing" in /etc/group`, ":app": "no user given", "app:": "no group given",
			"-1": "no user", "4294967295": "no user", "99999999999": "no user",
		} {
			u := as(b, user, "echo started").begin()
			u.want(125)
			if !strings.Contains(u.stderr.String(), says) || u.stdout.String() != "" {
				t.Errorf("--user %s: %q", user, &u.stderr)
			}
		}
	})
}

// The app can open its own stdout by name after the drop, as nginx's log does, and usher's signals still reach it.
func TestUserKeepsStdio(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
	u := start(t, &made, "--user", "65534:65534", "--", "sh", "-c", `echo out > /dev/stdout; echo err > /dev/stderr; trap 'exit 42' TERM; echo ready; while :; do sleep 0.01; done`)
	u.printed("out\nready\n")
	u.logged("err\n")
	u.signal(unix.SIGTERM)
	u.want(42)
}

// Who could look at usher before the drop can do so after it: what the app gives up while it still has usher's memory is not usher's.
func TestUserLeavesUsherReadable(t *testing.T) {
	setpriv, err := exec.LookPath("setpriv")
	if os.Getuid() != 0 || err != nil {
		t.Skip("needs root and setpriv")
	}
	// To look into a process's memory takes capabilities, unless it is one's own, has no more of them, and may be dumped (ptrace(2)).
	few := []string{setpriv, "--bounding-set", "-all,+kill,+setgid,+setuid", "--inh-caps", "-all"}
	u := commandHere(t, &made, "--user", "65534:65534", "--", "sh", "-c", "trap 'exit 42' TERM; echo ready; while :; do sleep 0.01; done")
	u.cmd.Path, u.cmd.Args = setpriv, append(few, append([]string{made.path}, u.cmd.Args[1:]...)...)
	u.begin().printed("ready\n")
	if out, err := exec.Command(setpriv, append(few[1:], "readlink", fmt.Sprintf("/proc/%d/exe", u.cmd.Process.Pid))...).CombinedOutput(); err != nil {
		t.Errorf("usher's exe: %v: %s", err, out)
	}
	u.signal(unix.SIGTERM)
	u.want(42)
}

// Without the privilege there is a reason, and nothing is started.
func TestUserWithoutPrivilege(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root to become somebody who is not")
	}
	log := newLog(t)
	if err := os.Chmod(filepath.Dir(log), 0o755); err != nil {
		t.Fatal(err)
	}
	os.Chmod(filepath.Dir(filepath.Dir(log)), 0o755)
	u := commandHere(t, &made, "--user", "0:0", "--", "echo", "started")
	u.cmd.Args = append([]string{"setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", made.path}, u.cmd.Args[1:]...)
	path, err := exec.LookPath("setpriv")
	if err != nil {
		t.Skip("needs setpriv")
	}
	u.cmd.Path = path
	u.begin().want(125)
	if out := u.stderr.String(); !strings.Contains(out, "cannot become uid 0, gid 0: setgroups: operation not permitted\nusher: hint: for --user, usher itself has to be root") || u.stdout.String() != "" {
		t.Errorf("stderr %q, stdout %q", out, &u.stdout)
	}
	// To be oneself takes none.
	u = commandHere(t, &made, "--user", "65534:65534", "--", "id", "-u")
	u.cmd.Path, u.cmd.Args = path, append([]string{"setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", made.path}, u.cmd.Args[1:]...)
	u.begin().want(0)
}

func TestExitCodeRemap(t *testing.T) {
	eachBuild(t, func(t *testing.T, b *build) {
		log := newLog(t)
		for _, c := range []struct {
			script string
			code   int
			word   string
		}{
			// What is made a success is one, and the app's own code is named.
			{"exit 3", 0, "Completed: exit code 0 (the app's own: 3); "},
			{"exit 143", 0, "Completed: exit code 0 (the app's own: 143); "},
			{"kill -TERM $$", 0, "Completed: killed by SIGTERM (exit code 0); "},
			{"exit 0", 9, "Completed: exit code 9; "},
			{"exit 4", 4, "Error: exit code 4; "},
			{"exit 5", 6, "Error: exit code 6 (the app's own: 5); "},
		} {
			args := []string{"--exit-code", "3=0", "--exit-code=143=0", "--exit-code", "0=9", "--exit-code=5=6", "--termination-log", log}
			u := start(t, b, append(args, "--", "sh", "-c", c.script)...)
			u.want(c.code)
			if word := readLog(t, log); !strings.HasPrefix(word, c.word) {
				t.Errorf("%s: %q", c.script, word)
			}
			start(t, b, append(args, "--termination-format", "json", "--", "sh", "-c", c.script)...).want(c.code)
			var word struct {
				Reason                string
				ExitCode, AppExitCode int
			}
			if err := json.Unmarshal([]byte(readLog(t, log)), &word); err != nil {
				t.Fatal(err)
			}
			own := 0
			if _, after, ok := strings.Cut(c.word, "own: "); ok {
				own, _ = strconv.Atoi(strings.TrimSuffix(after, "); "))
			}
			if reason, _, _ := strings.Cut(c.word, ":"); word.Reason != reason || word.ExitCode != c.code || word.AppExitCode != own {
				t.Errorf("%s: %+v", c.script, word)
			}
		}
		for _, bad := range []string{"3", "3=", "=3", "256=0", "0=256", "-1=0", "a=b"} {
			start(t, b, "--exit-code", bad, "--", "true").want(125)
		}
		start(t, b, "--exit-code", "1=2", "--exit-code", "1=3", "--", "true").want(125)
	})
}

// When the parent of usher dies, usher gets the signal and the app with it.
func TestParentDeathSignal(t *testing.T) {
	eachBuild(t, func(t *testing.T, b *build) {
		out := filepath.Join(t.TempDir(), "out")
		parent := commandHere(t, b)
		// The app exits only when it is told. usher's parent is a shell that ends once the app is up.
		script := `"$0" -p USR1 --termination-log "" -- bash -c 'trap "echo told >> $1; exit" USR1; echo up >> $1; while :; do sleep 0.01; done' app "$1" & while ! grep -q up "$1" 2>/dev/null; do sleep 0.01; done`
		parent.cmd.Path, parent.cmd.Args = "/bin/bash", []string{"bash", "-c", script, b.path, out}
		parent.cmd.Stdout, parent.cmd.Stderr = nil, nil
		parent.begin().want(0)
		eventually(t, func() error {
			if got := readLog(t, out); got != "up\ntold\n" {
				return fmt.Errorf("the app wrote %q", got)
			}
			return nil
		})
	})
}

// Sockets passed to usher are for the app: LISTEN_PID names it (sd_listen_fds(3)).
func TestListenPID(t *testing.T) {
	eachBuild(t, func(t *testing.T, b *build) {
		u := commandHere(t, b)
		u.cmd.Path, u.cmd.Args = "/bin/bash", []string{"bash", "-c", `LISTEN_FDS=1 LISTEN_PID=$$ exec "$0" -- sh -c 'echo $$ $LISTEN_PID $LISTEN_FDS'`, b.path}
		u.begin().want(0)
		if got := u.stdout.String(); !regexp.MustCompile(`^(\d+) \d+ 1\n$`).MatchString(got) || strings.Fields(got)[0] != strings.Fields(got)[1] {
			t.Errorf("pid, LISTEN_PID, LISTEN_FDS: %q", got)
		}
		// Meant for somebody else, it stays.
		u = commandHere(t, b, "--", "sh", "-c", "echo $LISTEN_PID")
		u.cmd.Env = append(u.cmd.Env, "LISTEN_PID=1")
		u.begin().want(0)
		if got := u.stdout.String(); got != "1\n" {
			t.Errorf("another's LISTEN_PID became %q", got)
		}
	})
}
