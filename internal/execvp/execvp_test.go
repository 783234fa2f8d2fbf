package execvp

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"usher/signals/testmain"
)

func TestMain(m *testing.M) { testmain.Main(m.Run) }

// search looks for a program as the users of this package do, and runs it. It
// returns the exit code, or the one that a shell has for the failure.
func search(path, name, dir string) int {
	var failed Failure
	for i, directory, more := uintptr(0), "", true; more; i++ {
		directory, path, more = Cut(path)
		cmd := &exec.Cmd{Path: directory + "/" + name, Args: []string{name}, Dir: dir}
		var errno syscall.Errno
		if err := cmd.Run(); !errors.As(err, &errno) {
			return cmd.ProcessState.ExitCode()
		}
		if !failed.Next(errno, i) {
			break
		}
	}
	if failed.Errno == syscall.ENOENT || failed.Errno == syscall.ENOTDIR {
		return 127
	}
	return 126
}

// The C library's execvp(3), which env(1) calls, finds the same real files, and
// fails in the same way. Scripts without #! are tested elsewhere: package spawn
// gives them to a shell.
func TestLikeTheCLibrary(t *testing.T) {
	env, err := exec.LookPath("env")
	if err != nil {
		t.Skip(err)
	}
	dir := t.TempDir()
	for name, mode := range map[string]os.FileMode{"bad/app": 0o644, "good/app": 0o755, "broken/app": 0o755, "plain": 0o644} {
		text := "#!/bin/sh\nexit 5\n"
		if name == "broken/app" {
			text = "\x7fELF"
		}
		if err := os.MkdirAll(filepath.Join(dir, filepath.Dir(name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(filepath.Join(dir, "directory/app"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		path, dir string
		want      int
	}{
		{"@/good", "/", 5},
		{"@/good/", "/", 5},
		{"@/missing:@/good", "/", 5},
		{"@/plain:@/good", "/", 5}, // ENOTDIR
		{"@/bad:@/good", "/", 5},   // EACCES
		{"@/directory:@/good", "/", 5},
		{"@/bad:@/missing", "/", 126},
		{"@/missing:@/bad", "/", 126},
		{"@/directory", "/", 126},
		{"@/missing", "/", 127},
		{"@/plain", "/", 127},
		{"@/missing:@/plain", "/", 127},
		{"@/broken:@/good", "/", 126}, // ENOEXEC ends the search
		{"", "good", 5},
		{":@/missing", "good", 5},
		{"@/missing:", "good", 5},
		{"@/missing::@/bad", "good", 5},
		{".", "good", 5},
		{"../good", "bad", 5},
		{":", "bad", 126},
	} {
		path, cwd := strings.ReplaceAll(tt.path, "@", dir), tt.dir
		if cwd != "/" {
			cwd = filepath.Join(dir, cwd)
		}
		if got := search(path, "app", cwd); got != tt.want {
			t.Errorf("PATH=%s in %s: %d, want %d", tt.path, tt.dir, got, tt.want)
		}
		want := tt.want
		if strings.HasSuffix(tt.path, "plain") { // for env(1), below a file is not "not found"
			want = 126
		}
		cmd := exec.Command(env, "app")
		cmd.Env, cmd.Dir = []string{"PATH=" + path}, cwd
		_ = cmd.Run()
		if got := cmd.ProcessState.ExitCode(); got != want && !strings.Contains(tt.path, "broken") { // which it gives to a shell
			t.Errorf("PATH=%s in %s: env(1) has %d, want %d", tt.path, tt.dir, got, want)
		}
	}
}

// Which error is reported, and for which file.
func TestFailure(t *testing.T) {
	for _, tt := range []struct {
		errnos []syscall.Errno
		want   Failure
		tried  int
	}{
		{[]syscall.Errno{syscall.ENOENT, syscall.ENOTDIR}, Failure{syscall.ENOENT, 0}, 2},
		{[]syscall.Errno{syscall.ENOENT, syscall.EACCES, syscall.EACCES, syscall.ENOENT}, Failure{syscall.EACCES, 1}, 4},
		{[]syscall.Errno{syscall.ESTALE, syscall.ENODEV, syscall.ETIMEDOUT}, Failure{syscall.ESTALE, 0}, 3},
		{[]syscall.Errno{syscall.EACCES, syscall.E2BIG, syscall.EACCES}, Failure{syscall.E2BIG, 1}, 2},
		{[]syscall.Errno{syscall.ENOENT, syscall.ENOEXEC, syscall.ENOENT}, Failure{syscall.ENOEXEC, 1}, 2},
		{[]syscall.Errno{syscall.ELOOP}, Failure{syscall.ELOOP, 0}, 1},
	} {
		var failed Failure
		tried := 0
		for i, errno := range tt.errnos {
			tried++
			if !failed.Next(errno, uintptr(i)) {
				break
			}
		}
		if failed != tt.want || tried != tt.tried {
			t.Errorf("%v: %+v after %d, want %+v after %d", tt.errnos, failed, tried, tt.want, tt.tried)
		}
	}
}

// Cut splits as package strings does.
func FuzzCut(f *testing.F) {
	for _, path := range []string{"", ":", "/", "/a:/b/", "a::b:", "//:/", DefaultPath} {
		f.Add(path)
	}
	f.Fuzz(func(t *testing.T, path string) {
		var want, got []string
		for dir := range strings.SplitSeq(path, ":") {
			if dir == "" {
				dir = "."
			}
			want = append(want, strings.TrimSuffix(dir, "/"))
		}
		for rest, dir, more := path, "", true; more; {
			dir, rest, more = Cut(rest)
			got = append(got, dir)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%q: %q, want %q", path, got, want)
		}
	})
}
