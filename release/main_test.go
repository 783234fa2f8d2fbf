package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
)

// These tests build releases of the source as it is, changes included, and
// install them. USHER_RELEASE=all is `make release-check`: all architectures;
// otherwise it is the one that this machine has and one that qemu has to run.
var whole = os.Getenv("USHER_RELEASE") == "all"

const (
	asTool   = "USHER_RELEASE_TOOL"
	version  = "v0.0.1"
	number   = "0.0.1"
	url      = "https://source.example/usher"
	nobody   = 65534
	commitAt = "1700000000" // when the commit of these tests was made
)

func TestMain(m *testing.M) {
	if os.Getenv(asTool) != "" {
		main()
		return
	}
	code := m.Run()
	if scratch != "" {
		_ = filepath.WalkDir(scratch, func(path string, d fs.DirEntry, err error) error { // module caches can't be written to
			if err == nil && d.IsDir() {
				_ = os.Chmod(path, 0o755)
			}
			return nil
		})
		if err := os.RemoveAll(scratch); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = max(code, 1)
		}
	}
	os.Exit(code)
}

// architectures are what is built here.
func architectures() []string {
	if !whole {
		return []string{"amd64", "arm64"}
	}
	var all []string
	for _, t := range allTargets {
		all = append(all, t.name)
	}
	return all
}

// scratch is a directory that all tests share, and which other users can reach.
var scratch string

// A built is a release that was built.
type built struct{ source, dist string }

// first is built as users do it, by `make release` in a clone, with this user's
// caches.
var first = sync.OnceValues(func() (b built, err error) {
	if scratch, err = os.MkdirTemp("", "usher-release-"); err != nil {
		return b, err
	}
	if err = os.Chmod(scratch, 0o755); err != nil {
		return b, err
	}
	b.source = filepath.Join(scratch, "first")
	b.dist = filepath.Join(b.source, "dist")
	if err := copySource("..", b.source); err != nil {
		return b, err
	}
	for _, args := range [][]string{{"init", "-q"}, {"add", "-A"}, {"commit", "-q", "-m", "release"}, {"tag", version}} {
		if _, err := output(gitCommand(b.source, args...)); err != nil {
			return b, err
		}
	}
	cmd := exec.Command("make", "release", "VERSION="+version, "SOURCE="+url, "ARCH="+strings.Join(architectures(), ","))
	cmd.Dir = b.source
	cmd.Env = without("SOURCE_DATE_EPOCH", "REVISION", "MAKEFLAGS", "MAKELEVEL", "MFLAGS", "JSON")
	_, err = output(cmd)
	return b, err
})

func made(t *testing.T) built {
	t.Helper()
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip("git is not installed")
	}
	b, err := first()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// copySource copies what git has, or would have, of a working tree.
func copySource(from, to string) error {
	out, err := exec.Command("git", "-C", from, "ls-files", "-z", "--cached", "--others", "--exclude-standard").Output()
	if err != nil {
		return fmt.Errorf("git ls-files: %w", err)
	}
	for name := range strings.SplitSeq(strings.TrimSuffix(string(out), "\x00"), "\x00") {
		info, err := os.Lstat(filepath.Join(from, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue // deleted, and not committed yet
		} else if err != nil {
			return err
		}
		target := filepath.Join(to, name)
		if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
			return err
		}
		if info.Mode()&fs.ModeSymlink != 0 {
			link, err := os.Readlink(filepath.Join(from, name))
			if err := errors.Join(err, os.Symlink(link, target)); err != nil {
				return err
			}
			continue
		}
		content, err := os.ReadFile(filepath.Join(from, name))
		if err := errors.Join(err, os.WriteFile(target, content, info.Mode().Perm())); err != nil {
			return err
		}
	}
	return nil
}

func gitCommand(dir string, args ...string) *exec.Cmd {
	cmd := exec.Command("git", append([]string{"-C", dir, "-c", "user.name=test", "-c", "user.email=test@example.org", "-c", "commit.gpgsign=false", "-c", "tag.gpgsign=false"}, args...)...)
	cmd.Env = append(os.Environ(), "GIT_COMMITTER_DATE=@"+commitAt, "GIT_AUTHOR_DATE=@"+commitAt)
	return cmd
}

// output runs cmd and returns what it prints; its error has it, too.
func output(cmd *exec.Cmd) (string, error) {
	out, err := cmd.CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, out)
	}
	return string(out), err
}

// command is output, whose failure is the test's.
func command(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := output(exec.Command(name, args...))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// without is the environment without some variables.
func without(names ...string) []string {
	return slices.DeleteFunc(os.Environ(), func(entry string) bool {
		name, _, _ := strings.Cut(entry, "=")
		return slices.Contains(names, name)
	})
}

// tool is these tests' own program, as the release tool.
func tool(args ...string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe", args...)
	cmd.Env = append(without("SOURCE_DATE_EPOCH", "REVISION"), asTool+"=1")
	return cmd
}

// pinned is the Go release that go.mod names.
func pinned(t *testing.T) string {
	t.Helper()
	s, err := readSource("..", version)
	if s.goName == "" {
		t.Fatalf("no toolchain: %v", err)
	}
	return s.goName
}

// Every mistake is reported, nothing is built, and what is there stays.
func TestMistakes(t *testing.T) {
	source := filepath.Join(t.TempDir(), "source")
	if err := copySource("..", source); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"init", "-q"}, {"add", "-A"}, {"commit", "-q", "-m", "release"}, {"tag", "v0.0.2"}, {"commit", "-q", "--allow-empty", "-m", "later"}} {
		if _, err := output(gitCommand(source, args...)); err != nil {
			t.Fatal(err)
		}
	}
	precious := t.TempDir()
	if err := os.WriteFile(filepath.Join(precious, "thesis.txt"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	fails := func(env []string, args []string, says ...string) {
		t.Helper()
		cmd := tool(append([]string{"-source", source}, args...)...)
		cmd.Env = append(cmd.Env, env...)
		out, err := output(cmd)
		if err == nil {
			t.Errorf("%q succeeded", args)
		}
		for _, s := range says {
			if !strings.Contains(out, s) {
				t.Errorf("%q: %q is not in %s", args, s, out)
			}
		}
	}
	nowhere := filepath.Join(t.TempDir(), "dist")
	fails(nil, []string{"-version", "0.1", "-arch", "amd64,vax", "-dist", precious}, `version "0.1"`, `["vax"]`, "it is left alone")
	fails(nil, []string{"-version", "v0.0.2", "-dist", nowhere}, "the tag v0.0.2 is another commit")
	fails([]string{"SOURCE_DATE_EPOCH=1"}, []string{"-version", "v0.0.3", "-dist", nowhere}, "both, or neither")
	fails([]string{"SOURCE_DATE_EPOCH=soon", "REVISION=x"}, []string{"-version", "v0.0.3", "-dist", nowhere}, "want seconds since 1970")
	if err := os.WriteFile(filepath.Join(source, "new.go"), []byte("package nonsense"), 0o644); err != nil {
		t.Fatal(err)
	}
	fails(nil, []string{"-version", "v0.0.3", "-dist", nowhere}, "there are changes that no commit has")
	// In the middle: what does not compile leaves no half release.
	if err := os.WriteFile(filepath.Join(source, "cmd/usher/broken.go"), []byte("package main\n\nnonsense"), 0o644); err != nil {
		t.Fatal(err)
	}
	fails([]string{"SOURCE_DATE_EPOCH=1", "REVISION=x"}, []string{"-version", "v0.0.3", "-dist", nowhere, "-arch", "amd64"}, "cannot build for amd64", "broken.go")
	for _, left := range []string{nowhere, nowhere + ".part"} {
		if _, err := os.Stat(left); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s was left behind: %v", left, err)
		}
	}
	if _, err := os.Stat(filepath.Join(precious, "thesis.txt")); err != nil {
		t.Error(err)
	}
}

// The checksums are all there, and right, and so are the binaries: static, of
// the right size, and with the version in them.
func TestBinaries(t *testing.T) {
	b := made(t)
	cmd := exec.Command("sha256sum", "--check", "--strict", "--quiet", sumsName)
	cmd.Dir = b.dist
	if _, err := output(cmd); err != nil {
		t.Error(err)
	}
	sums, err := os.ReadFile(filepath.Join(b.dist, sumsName))
	if err != nil {
		t.Fatal(err)
	}
	err = filepath.WalkDir(b.dist, func(path string, d fs.DirEntry, err error) error {
		name, _ := filepath.Rel(b.dist, path)
		if err == nil && !d.IsDir() && name != sumsName && !bytes.Contains(sums, []byte("  "+name+"\n")) {
			t.Errorf("%s has no checksum", name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range architectures() {
		info, err := os.Stat(filepath.Join(b.dist, "usher-linux-"+name))
		if err != nil {
			t.Fatal(err)
		}
		if entry := name == "amd64" || name == "arm64"; entry && info.Size() >= 3_000_000 {
			t.Errorf("usher has %d bytes for %s", info.Size(), name)
		}
		run := emulator(t, name)
		source := "os/signal"
		if name == "amd64" || name == "arm64" {
			source = "the kernel's queue"
		}
		for program, want := range map[string]string{
			"usher":       "usher " + version + " (" + pinned(t) + "-X:nogreenteagc, signals from " + source + ")\n",
			"usher-check": "usher-check " + version + " (" + pinned(t) + "-X:nogreenteagc)\n",
		} {
			args := append(slices.Clone(run), filepath.Join(b.dist, program+"-linux-"+name), "--version")
			// Where there is no entry point, a second line says so.
			if out := command(t, args[0], args[1:]...); !strings.HasPrefix(out, want) || source != "os/signal" && out != want {
				t.Errorf("%s for %s: %q, want %q", program, name, out, want)
			}
		}
	}
}

// emulator is what runs programs of an architecture here; nothing for this
// machine's own.
func emulator(t *testing.T, name string) []string {
	t.Helper()
	if name == runtime.GOARCH || name == "386" && runtime.GOARCH == "amd64" {
		return nil
	}
	qemu := map[string]string{"amd64": "x86_64", "arm64": "aarch64", "armv7": "arm", "armv6": "arm", "386": "i386", "loong64": "loongarch64"}[name]
	if qemu == "" {
		qemu = name
	}
	path, err := exec.LookPath("qemu-" + qemu + "-static")
	if err != nil {
		t.Skipf("qemu-user-static is not installed: %v", err)
	}
	return []string{path}
}
