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

// inImage has usher, before begin, find an image's /etc/passwd and /etc/group in place of this machine's, and a HOME that is nobody's. script
// is done in usher's mount namespace before usher is started, and may have a wrapper in it: "$@" is usher.
func inImage(t *testing.T, u *usher, script string) *usher {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
	dir := t.TempDir()
	for name, content := range map[string]string{
		"passwd": "root:x:0:0:root:/root:/bin/sh\nhomeless:x:1005:1002:::\napp:x:1001:1002:App:/home/app:/bin/sh\n2000:x:3000:3000:a number as a name:/:/bin/sh\nbroken\n",
		"group":  "root:x:0:\ndisk:x:6:root\napp:x:1002:\naudio:x:29:app\nvideo:x:44:other,app\nnumbers:x:50:app,app\nbroken\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	u.cmd.Args = append([]string{"sh", "-ec", `mount --bind "$0/passwd" /etc/passwd; mount --bind "$0/group" /etc/group; ` + script, dir, u.cmd.Path}, u.cmd.Args[1:]...)
	u.cmd.Path = "/bin/sh"
	u.cmd.Env = append(u.cmd.Env, "HOME=/elsewhere")
	return u
}

func TestUser(t *testing.T) {
	as := func(b *build, user string, script string) *usher {
		return inImage(t, command(t, b, "--user", user, "--", "sh", "-c", script), `exec "$@"`)
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
			"12345":      "Uid: " + four(12345) + "\nGid: " + four(0) + "\nGroups: 0 \n/\n",
			"12345:6789": "Uid: " + four(12345) + "\nGid: " + four(6789) + "\nGroups: 6789 \n/\n",
			"homeless":   "Uid: " + four(1005) + "\nGid: " + four(1002) + "\nGroups: 1002 \n/\n",
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

// Groups that the engine has given usher on top of the image's, as docker run --group-add and a pod's fsGroup do, are the app's, as for a
// Dockerfile's USER. Those of usher's own user are not, and an explicit group is the only one, for usher's own user too.
func TestUserGroups(t *testing.T) {
	eachBuild(t, func(t *testing.T, b *build) {
		for _, c := range []struct{ given, user, want string }{
			{"0,6,2000,44", "app", "1002 29 44 50 2000"}, // 6 is root's in the image, 44 the user's already
			{"0,6,2000", "12345", "0 2000"},
			{"0,6,2000", "app:audio", "29"},
			{"27,44", "0:0", "0"},
			{"27,44", "root:0", "0"},
			{"0,6,27", "0", "0 6 27"},
			{"6", "0", "0 6"},
			{"65534", "app", "1002 29 44 50"}, // what a user namespace has no number for
		} {
			u := inImage(t, command(t, b, "--user", c.user, "--", "id", "-G"), "exec setpriv --groups "+c.given+` "$@"`).begin()
			u.want(0)
			if got := strings.TrimSpace(u.stdout.String()); got != c.want {
				t.Errorf("--user %s of an usher with groups %s has %s, want %s", c.user, c.given, got, c.want)
			}
		}
		// Nothing has to be changed, so nothing may be missing for it; what can't be given up is not kept in silence.
		few := "exec setpriv --bounding-set -setgid,-setuid --groups "
		inImage(t, command(t, b, "--user", "0", "--", "id", "-G"), few+`0,6,27 "$@"`).begin().want(0)
		u := inImage(t, command(t, b, "--user", "0:0", "--", "id", "-G"), few+`27 "$@"`).begin()
		u.want(125)
		if u.stdout.String() != "" || !strings.Contains(u.stderr.String(), "setgroups: operation not permitted\nusher: hint: for --user") {
			t.Errorf("%s%s", &u.stdout, &u.stderr)
		}
	})
}

// Where a user namespace denies setgroups, groups that nobody in it can change are no reason not to start as oneself; others are, and that is said.
func TestUserWhereSetgroupsIsDenied(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root to become somebody who is not")
	}
	const (
		nobody = `exec setpriv --reuid 65534 --regid 65534 --groups 27 unshare --user --map-root-user "$@"`
		// All numbers are mapped, so that 27 is a group there, which takes somebody outside.
		mapped = `exec setpriv --groups 27 sh -c 'mkfifo "$0"; unshare --user sh -c "read line < \$0; exec \"\$@\"" "$0" "$@" &
			while [ "$(readlink /proc/$!/ns/user)" = "$(readlink /proc/self/ns/user)" ]; do sleep 0.01; done
			echo deny > /proc/$!/setgroups; echo 0 0 1000 > /proc/$!/uid_map; echo 0 0 1000 > /proc/$!/gid_map; echo > "$0"; wait $!' "$0" "$@"`
	)
	for _, c := range []struct{ namespace, user, says string }{
		{nobody, "0", ""}, // 27 is a group that the namespace has no number for
		{nobody, "0:0", ""},
		{nobody, "0:1", "setgid: invalid argument\nusher: hint: this user namespace has no such number"},
		{mapped, "0", ""},
		{mapped, "0:0", "setgroups: operation not permitted\nusher: hint: this user namespace denies setgroups"},
		{mapped, "12:12", "setgroups: operation not permitted\nusher: hint: this user namespace denies setgroups"},
	} {
		u := commandHere(t, &made, "--user", c.user, "--", "echo", "started")
		u.cmd.Args = append([]string{"sh", "-c", c.namespace, filepath.Join(t.TempDir(), "fifo"), u.cmd.Path}, u.cmd.Args[1:]...)
		u.cmd.Path = "/bin/sh"
		code := u.begin().wait()
		if out := u.stderr.String(); strings.Contains(out, "unshare:") {
			t.Skipf("no user namespaces here: %s", out)
		} else if started := u.stdout.String() != ""; started != (c.says == "") || code != 0 != (c.says != "") || !strings.Contains(out, c.says) {
			t.Errorf("%s: --user %s: exit code %d, %s", c.namespace, c.user, code, out)
		}
	}
}

// A user is unknown where a file is missing, and not where it can't be read: the app would run with root's group.
func TestUserFilesUnreadable(t *testing.T) {
	eachBuild(t, func(t *testing.T, b *build) {
		for script, says := range map[string]string{
			"mkdir $0/etc $0/etc/passwd; mount --bind $0/etc /etc":             "cannot read /etc/passwd: is a directory",
			"mkdir $0/etc; ln -s group $0/etc/group; mount --bind $0/etc /etc": "cannot read /etc/group: too many levels of symbolic links",
			"mkdir $0/etc; mount --bind $0/etc /etc":                           "",
		} {
			for _, user := range []string{"12345", "12345:6"} {
				u := inImage(t, command(t, b, "--user", user, "--", "sh", "-c", "echo started"), script+`; exec "$@"`).begin()
				if says == "" {
					u.want(0)
					continue
				}
				u.want(125)
				if !strings.Contains(u.stderr.String(), says) || u.stdout.String() != "" {
					t.Errorf("%s: --user %s: %q, %q", script, user, &u.stderr, &u.stdout)
				}
			}
		}
	})
}

// Hooks and checks run as the app does, with its home.
func TestUserOfHooks(t *testing.T) {
	eachBuild(t, func(t *testing.T, b *build) {
		const show = `sh -c "echo $(id -u):$HOME"`
		for user, want := range map[string]string{"app": "1001:/home/app", "homeless": "1005:/", "12345": "12345:/"} {
			u := inImage(t, command(t, b, "--user", user, "--pre-start", show, "--wait-for", "exec:sh -c 'test $HOME = "+want[strings.IndexByte(want, ':')+1:]+"'", "--post-stop", "exec:"+show, "--", "true"), `exec "$@"`).begin()
			u.want(0)
			if out := u.stderr.String(); !strings.Contains(out, "pre-start-1: "+want+"\n") || !strings.Contains(out, "post-stop: "+want+"\n") {
				t.Errorf("--user %s: %s", user, out)
			}
		}
	})
}

// A device that is no terminal stays root's: it may be the machine's.
func TestUserIsNotGivenDevices(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
	zero := filepath.Join(t.TempDir(), "zero")
	if err := unix.Mknod(zero, unix.S_IFCHR|0o600, int(unix.Mkdev(1, 5))); err != nil {
		t.Skip(err)
	}
	in, err := os.Open(zero)
	if err != nil {
		t.Skip(err)
	}
	defer in.Close()
	u := commandHere(t, &made, "--user", "12345", "--", "true")
	u.cmd.Stdin = in
	u.begin().want(0)
	var st unix.Stat_t
	if err := unix.Stat(zero, &st); err != nil || st.Uid != 0 {
		t.Errorf("the device's owner is %d (%v)", st.Uid, err)
	}
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
		const script = `"$0" -p USR1 --termination-log "" -- \
	bash -c 'trap "echo told >> $1; exit" USR1; echo up >> $1; while :; do sleep 0.01; done' app "$1" &
while ! grep -q up "$1" 2>/dev/null; do sleep 0.01; done`
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

// The number of a pidfd names usher, and can't name the app before that is there (systemd 260).
func TestListenPIDFD(t *testing.T) {
	eachBuild(t, func(t *testing.T, b *build) {
		for pid, want := range map[string]string{"$$": "x\n", "1": "x123\n"} {
			u := commandHere(t, b)
			u.cmd.Path, u.cmd.Args = "/bin/bash", []string{"bash", "-c", `LISTEN_PIDFDID=123 LISTEN_PID=` + pid + ` exec "$0" -- sh -c 'echo x$LISTEN_PIDFDID'`, b.path}
			u.begin().want(0)
			if got := u.stdout.String(); got != want {
				t.Errorf("LISTEN_PID=%s: %q, want %q", pid, got, want)
			}
		}
	})
}

// What is passed to the app, sockets and ways to speak to a service manager, is not passed to commands beside it.
func TestNotForCommands(t *testing.T) {
	eachBuild(t, func(t *testing.T, b *build) {
		const show = `ls /proc/self/fd | grep -cx 7; env | grep -E "^(NOTIFY_SOCKET|LISTEN_|WATCHDOG_|USUAL)" | sort`
		u := commandHere(t, b)
		u.cmd.Path, u.cmd.Args = "/bin/bash", []string{"bash", "-c", `exec 7</dev/null; LISTEN_PID=$$ exec "$0" "$@"`, b.path,
			"--pre-start", "sh -c '" + show + "'", "--", "sh", "-c", show}
		u.cmd.Env = append(u.cmd.Env, "LISTEN_FDS=5", "LISTEN_FDNAMES=a", "NOTIFY_SOCKET=/no/such", "WATCHDOG_USEC=1", "USUAL=1")
		u.begin().want(0)
		if got, want := u.stderr.String(), "pre-start-1: 0\npre-start-1: USUAL=1\n"; got != want {
			t.Errorf("a hook has %q, want %q", got, want)
		}
		if got := u.stdout.String(); !regexp.MustCompile(`^1\nLISTEN_FDNAMES=a\nLISTEN_FDS=5\nLISTEN_PID=\d+\nNOTIFY_SOCKET=.+\nUSUAL=1\nWATCHDOG_USEC=1\n$`).MatchString(got) {
			t.Errorf("the app has %q", got)
		}
	})
}

// With no_new_privs a setuid program is one like any other; hooks and checks have it as well (TestRightsAreHandedOn).
func TestNoNewPrivs(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
	path, err := exec.LookPath("id")
	if err != nil {
		t.Skip(err)
	}
	dir := filepath.Join(filepath.Dir(made.path), "setuid")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	id, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dir+"/id", id, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir+"/id", 0o755|os.ModeSetuid); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ flag, variable, want string }{
		{"", "", "0\n"}, {"--no-new-privs", "", "65534\n"}, {"", "USHER_NO_NEW_PRIVS=true", "65534\n"}, {"--no-new-privs=false", "USHER_NO_NEW_PRIVS=true", "0\n"},
	} {
		args := []string{"--user", "65534:65534"}
		if c.flag != "" {
			args = append(args, c.flag)
		}
		u := command(t, &made, append(args, "--", dir+"/id", "-u")...)
		if c.variable != "" {
			u.cmd.Env = append(u.cmd.Env, c.variable)
		}
		u.begin().want(0)
		got := u.stdout.String()
		if c.want == "0\n" && got != c.want {
			t.Skip("setuid programs have no effect here")
		}
		if got != c.want {
			t.Errorf("%s %s: uid %s", c.flag, c.variable, got)
		}
	}
}
