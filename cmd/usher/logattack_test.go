package main_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// The termination log of root in a directory of the app's: what the app puts there is followed no further than the app could itself.

// appsDir is a directory that user 65534 can write to, and secret a file that only root can read or write.
func appsDir(t *testing.T) (dir, secret string) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
	dir = t.TempDir()
	secret = filepath.Join(t.TempDir(), "secret")
	if os.Chmod(filepath.Dir(dir), 0o755) != nil || os.Chown(dir, 65534, 65534) != nil || os.WriteFile(secret, []byte(theSecret), 0o600) != nil {
		t.Fatal("cannot prepare directories")
	}
	return dir, secret
}

const theSecret = "what only root may know\n"

func asNobody(args ...string) []string {
	return append([]string{"-q", "--user", "65534:65534"}, args...)
}

// wantUntouched checks that nothing was written to secret, and that none of it is where the app can read it.
func wantUntouched(t *testing.T, secret string, word string) {
	t.Helper()
	if got, err := os.ReadFile(secret); err != nil || string(got) != theSecret {
		t.Errorf("root's file: %q, %v", got, err)
	}
	if strings.Contains(word, "only root") {
		t.Errorf("the last word: %q", word)
	}
}

// 5a6c03f wrote into root's file, each time: through a symbolic link, a hard link, a directory that has become one, and what /proc has for usher's own
// descriptors.
func TestAppCannotRedirectTheLastWord(t *testing.T) {
	for name, attack := range map[string]string{
		"symlink":            `ln -sf "$2" "$1"`,
		"symlink to nothing": `ln -sf "$2.new" "$1"`,
		"directory":          `mv "${1%/*}" "${1%/*}.old"; ln -s "${2%/*}" "${1%/*}"`,
		"chain":              `ln -sf "$2" "${1%/*}/second"; ln -sf second "$1"`,
		"proc":               `mount -t proc proc /proc 2>/dev/null; ln -sf "/proc/1/root$2" "$1"`,
		"own root":           `ln -sf "/proc/self/root$2" "$1"`,
		"hard link":          `[ -e "$1" ] || cp -l "$2" "$1" 2>/dev/null`,
		"rename":             `mv -f "${1%/*}/roots" "$1"`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir, secret := appsDir(t)
			if err := os.Mkdir(filepath.Join(dir, "log"), 0o755); err != nil {
				t.Fatal(err)
			}
			os.Chown(filepath.Join(dir, "log"), 65534, 65534)
			log := filepath.Join(dir, "log", filepath.Base(secret))
			if name == "hard link" { // with fs.protected_hardlinks the app can't, but an earlier container may have
				if err := os.Link(secret, log); err != nil {
					t.Skip(err)
				}
			}
			if name == "rename" {
				os.Rename(secret, filepath.Join(dir, "log", "roots"))
				secret = log
			}
			u := start(t, &made, asNobody("--termination-tail", "3", "--termination-log", log, "--", "sh", "-c", attack+"; echo root::0:0 >&2; exit 7", "sh", log, secret)...)
			u.want(7)
			wantUntouched(t, secret, "")
			if _, err := os.Stat(secret + ".new"); err == nil {
				t.Error("a file was made in root's directory")
			}
		})
	}
}

// An earlier run has left a symbolic link, or a hard one. 5a6c03f emptied the file behind it before the app was started, each time.
func TestAppCannotHaveAFileEmptied(t *testing.T) {
	for name, leave := range map[string]func(old, new string) error{"symlink": os.Symlink, "hard link": os.Link} {
		for _, user := range []string{"65534:65534", ""} { // without --user, for apps that change theirs themselves
			dir, secret := appsDir(t)
			log := filepath.Join(dir, "log")
			if err := leave(secret, log); err != nil {
				t.Fatal(err)
			}
			args := []string{"--termination-log", log, "--", "cat", secret}
			if user != "" {
				args = append([]string{"--user", user}, "--termination-log", log, "--", "true")
			}
			u := start(t, &made, args...)
			u.want(0)
			wantUntouched(t, secret, "")
			if out := u.stdout.String(); user == "" && out != theSecret {
				t.Errorf("%s: when the app began, it read %q", name, out)
			}
			u.logged("termination log")
		}
	}
}

// What usher reads of the log it writes there again, behind its own line. The app's log is a link to root's file when the stop begins, and then a file
// that begins as usher's word does. 5a6c03f then copied root's file there, each time.
func TestAppCannotHaveAFileRead(t *testing.T) {
	dir, secret := appsDir(t)
	log := filepath.Join(dir, "log")
	const app = `trap 'echo "StopTimeout: ended from outside in the middle" > "$1.new"; mv -f "$1.new" "$1"; echo swapped' USR1; trap 'exit 7' TERM
ln -sf "$2" "$1"; echo ready; while :; do sleep 0.01; done`
	u := start(t, &made, "--user", "65534:65534", "--term-delay", "1h", "--termination-log", log, "--", "sh", "-c", app, "sh", log, secret)
	u.printed("ready\n")
	u.signal(unix.SIGTERM)
	u.logged("held back for")
	u.signal(unix.SIGUSR1)
	u.printed("swapped\n")
	u.signal(unix.SIGTERM)
	u.want(7)
	word := readLog(t, log)
	wantUntouched(t, secret, word)
	if !strings.HasPrefix(word, "Error: exit code 7; ") {
		t.Errorf("the last word: %q", word)
	}
}

// The app swaps its log for a symbolic link and back, without a pause, while usher writes: at the start, ahead, at the end. 5a6c03f wrote into
// root's file in each of 5 runs of this test, in the first round.
func TestAppCannotWinARace(t *testing.T) {
	const app = `use strict; my ($log, $secret) = @ARGV; my ($n, $told) = (0, 0); $SIG{TERM} = sub { $told = $n };
symlink $secret, "$log.link"; open my $f, ">", "$log.file"; close $f; link "$log.file", "$log.again";
print "ready\n"; close STDOUT;
while (!$told || $n < $told + 2000) { $n++; link "$log.again", "$log.file"; rename "$log.file", $log; symlink $secret, "$log.link"; rename "$log.link", $log; }
exit 7`
	for round := range 20 {
		dir, secret := appsDir(t)
		log := filepath.Join(dir, "log")
		u := start(t, &made, asNobody("--term-delay", "20ms", "--termination-tail", "2", "--termination-log", log, "--", "perl", "-e", app, log, secret)...)
		u.printed("ready\n")
		u.signal(unix.SIGTERM)
		u.want(7)
		wantUntouched(t, secret, "")
		if t.Failed() {
			t.Fatalf("round %d", round)
		}
	}
}

// A log that only root may write, in a directory of root's, has its word: usher opens it before the app runs, with its own rights. One that the app may
// write need not be root's to find; the app can write there itself.
func TestLastWordOfAnotherUser(t *testing.T) {
	for _, c := range []struct {
		name string
		mode os.FileMode // of the log; 0 is none there
		dir  os.FileMode
		own  bool   // the directory is the app's
		log  string // its name; link is root's symbolic link
		says string
		app  string
	}{
		{"root's alone", 0o600, 0o700, false, "log", "", "exit 7"},
		{"root's directory, to be made", 0, 0o755, false, "log", "", "exit 7"},
		{"kubelet's", 0o666, 0o755, false, "log", "", `echo own >> "$1"; exit 7`},
		{"the app's directory, to be made", 0, 0o755, true, "log", "", `echo own >> "$1"; exit 7`},
		{"root's alone, by root's link", 0o600, 0o700, false, "link", "", "exit 7"},
		{"kubelet's, by root's link", 0o666, 0o755, false, "link", "", `echo own >> "$1"; exit 7`},
		{"root's file in the app's directory", 0o600, 0o755, true, "log", "the app's user may not", "exit 7"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if os.Getuid() != 0 {
				t.Skip("needs root")
			}
			dir := t.TempDir()
			u := command(t, &made, asNobody("--term-delay", "1ms", "--termination-log", "/mnt/"+c.log, "--", "sh", "-c", c.app, "sh", "/mnt/log")...)
			// The way there is root's, as a container's is; /tmp is everybody's.
			script := `mount -t tmpfs -o mode=$1,uid=$2 tmpfs /mnt && ln -s /mnt/log /mnt/link && { [ $3 = 0 ] || { : > /mnt/log && chmod $3 /mnt/log; }; } || exit 1
				out=$4; shift 4; "$@"; code=$?; cat /mnt/log > $out; exit $code`
			u.cmd.Args = append([]string{"sh", "-c", script, "sh", fmt.Sprintf("%o", c.dir), fmt.Sprint(map[bool]int{true: 65534}[c.own]),
				fmt.Sprintf("%o", c.mode), dir + "/word", made.path}, u.cmd.Args[1:]...)
			u.cmd.Path = "/bin/sh"
			u.begin().want(7)
			word := readLog(t, dir+"/word")
			switch {
			case c.says != "":
				u.logged(c.says)
			case !strings.HasPrefix(word, "Error: exit code 7; ") || strings.Contains(c.app, "own") != strings.HasSuffix(word, "\nown\n"):
				t.Errorf("%q\n%s", word, &u.stderr)
			}
		})
	}
}
