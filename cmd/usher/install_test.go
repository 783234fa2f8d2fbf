package main_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// same compares two files, and wants the second to be executable by everyone.
func same(t *testing.T, a, b string) {
	t.Helper()
	want, err := os.ReadFile(a)
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(b)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s is not %s", b, a)
	}
	if st, err := os.Stat(b); err != nil || st.Mode() != 0o755 {
		t.Errorf("%s: mode %v, %v", b, st.Mode(), err)
	}
}

func TestInstall(t *testing.T) {
	eachBuild(t, func(t *testing.T, b *build) {
		dir := t.TempDir()
		umask := []string{"-c", `umask 077; exec "$0" "$@"`, b.path}
		for path, lands := range map[string]string{
			dir:               dir + "/usher",
			dir + "/new":      dir + "/new",
			dir + "/existing": dir + "/existing",
		} {
			if path == dir+"/existing" {
				if err := os.WriteFile(path, make([]byte, 10_000_000), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			u := commandHere(t, &build{path: "/bin/sh"}, append(umask, "--install", path)...)
			u.begin().want(0)
			same(t, b.path, lands)
			if out := u.stdout.String() + u.stderr.String(); out != "" {
				t.Errorf("printed %q", out)
			}
		}
		// A copy that is running is replaced, and goes on.
		running := commandHere(t, &build{path: dir + "/new"}, "--", "cat")
		stdin, err := running.cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		running.begin()
		commandHere(t, b, "--install="+dir+"/new").begin().want(0)
		same(t, b.path, dir+"/new")
		stdin.Close()
		running.want(0)
		left, err := filepath.Glob(dir + "/*")
		if err != nil || len(left) != 4 { // usher-check as well
			t.Errorf("left: %v, %v", left, err)
		}
	})
}

// usher-check goes along where there is one.
func TestInstallCheck(t *testing.T) {
	from, to := t.TempDir(), t.TempDir()
	commandHere(t, &made, "--install", from+"/").begin().want(0)
	if err := os.WriteFile(from+"/usher-check", []byte("check"), 0o600); err != nil {
		t.Fatal(err)
	}
	commandHere(t, &build{path: from + "/usher"}, "--install", to+"/init").begin().want(0)
	same(t, made.path, to+"/init")
	same(t, from+"/usher-check", to+"/usher-check")
	// By a name without a slash it is the current directory's.
	here := commandHere(t, &build{path: from + "/usher"}, "--install", "here")
	here.cmd.Dir = to
	here.begin().want(0)
	same(t, made.path, to+"/here")
}

func TestInstallMistakes(t *testing.T) {
	dir := t.TempDir()
	if err := os.Symlink(made.path, dir+"/usher"); err != nil {
		t.Fatal(err)
	}
	const takes = "usher: error: --install takes a path, and neither a command nor --probe with it\n"
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"--install", ""}, takes},
		{[]string{"--install", dir, "true"}, takes},
		{[]string{"--install", dir, "--probe", "livez"}, takes},
		{[]string{"--install", dir + "/no/usher"}, `usher: error: cannot install usher as "` + dir + `/no/usher": no such file or directory` + "\n"},
		{[]string{"--install", "/proc/"}, `usher: error: cannot install usher as "/proc/usher": `},
	} {
		u := commandHere(t, &made, tt.args...)
		u.begin().want(125)
		if got := u.stderr.String(); !strings.HasPrefix(got, tt.want) {
			t.Errorf("%q: %q, want %q", tt.args, got, tt.want)
		}
	}
}

// On a full disk nothing is left, and what was there stays.
func TestInstallNoSpace(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=64k"); err != nil {
		t.Skipf("no file system can be mounted here: %v", err)
	}
	t.Cleanup(func() { syscall.Unmount(dir, syscall.MNT_DETACH) })
	if err := os.WriteFile(dir+"/usher", []byte("old"), 0o755); err != nil {
		t.Fatal(err)
	}
	u := commandHere(t, &made, "--install", dir)
	u.begin().want(125)
	if got, want := u.stderr.String(), `usher: error: cannot install usher as "`+dir+`/usher": no space left on device`+"\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if old, err := os.ReadFile(dir + "/usher"); string(old) != "old" {
		t.Errorf("%q, %v", old, err)
	}
	if left, _ := filepath.Glob(dir + "/*"); len(left) != 1 {
		t.Errorf("left: %v", left)
	}
}
