package main

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// The same source gives the same bytes to another user, on a machine with
// another name, in another folder and with another umask, time zone, language
// and settings of Go, who has no git and none of the first one's caches.
func TestReproducible(t *testing.T) {
	first := made(t)
	dir := filepath.Join(scratch, "some where", "else")
	source, dist := filepath.Join(scratch, "second"), filepath.Join(scratch, "second dist")
	again := architectures()
	if !whole {
		again = again[:1] // compiling everything again takes its time
	}
	if err := errors.Join(copySource(first.source, source), os.MkdirAll(dir, 0o755), os.Mkdir(dist, 0o755)); err != nil {
		t.Fatal(err)
	}
	goroot := exec.Command("go", "env", "GOROOT", "GOMODCACHE")
	goroot.Dir = first.source
	goroot.Env = append(os.Environ(), "GOTOOLCHAIN="+pinned(t))
	out, err := output(goroot)
	if err != nil {
		t.Fatal(err)
	}
	goRoot, modules, _ := strings.Cut(strings.TrimSpace(out), "\n")
	revision := strings.TrimSpace(command(t, "git", "-C", first.source, "rev-parse", "HEAD"))
	program := filepath.Join(dir, "release")
	self, err := os.ReadFile("/proc/self/exe")
	if err := errors.Join(err, os.WriteFile(program, self, 0o755)); err != nil {
		t.Fatal(err)
	}
	args := []string{program, "-version", version, "-url", url, "-source", source, "-dist", filepath.Join(dist, "dist"), "-arch", strings.Join(again, ",")}
	if os.Geteuid() == 0 {
		for _, owned := range []string{dir, source, dist} {
			command(t, "chown", "-R", fmt.Sprint(nobody), owned)
		}
		args = append([]string{"unshare", "--uts", "sh", "-c", `hostname usher-elsewhere; umask 077; exec setpriv --reuid 65534 --regid 65534 --clear-groups "$@"`, "sh"}, args...)
	} else {
		t.Log("not root: the second build is the same user's, on a machine of the same name")
	}
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Dir = "/"
	cmd.Env = []string{asTool + "=1", "PATH=" + goRoot + "/bin:" + os.Getenv("PATH"), "HOME=" + dir, "GOCACHE=" + filepath.Join(dir, "cache"),
		"GOPATH=" + filepath.Join(dir, "gopath"), "GOPROXY=" + proxy(t, modules), "GOSUMDB=off", "SOURCE_DATE_EPOCH=" + commitAt, "REVISION=" + revision,
		"TZ=Pacific/Chatham", "LANG=tr_TR.UTF-8", "USER=somebody", "LOGNAME=somebody",
		"GOFLAGS=-buildvcs=true", "GOAMD64=v3", "GOARM64=v9.0", "GOEXPERIMENT=", "CGO_ENABLED=1", "VERSION=v6.6.6", "TAGS=nonsense", "MAKEFLAGS=s"}
	if _, err := output(cmd); err != nil {
		t.Fatal(err)
	}
	compared, different := differences(t, first.dist, filepath.Join(dist, "dist"))
	if !whole { // what the other architecture is in is another file, and what is of it alone is not there
		different = slices.DeleteFunc(different, func(d string) bool {
			return strings.Contains(d, onlyFirst) || regexp.MustCompile(`^(SHA256SUMS|usher_[^:]*_image[^:]*|image/index.json): `).MatchString(d)
		})
		// Of the images, only what lists the architectures.
		lists := 0
		different = slices.DeleteFunc(different, func(d string) bool {
			is := strings.HasPrefix(d, "image/blobs/") && strings.HasSuffix(d, onlySecond)
			if is {
				lists++
			}
			return is
		})
		if lists != len(kinds) {
			t.Errorf("%d parts of images differ, want %d, which list the architectures", lists, len(kinds))
		}
	}
	if want := 8 * len(again); compared < want {
		t.Errorf("only %d files were compared, want at least %d", compared, want)
	}
	for _, d := range different {
		t.Error(d)
	}
}

// proxy serves a module cache as a module proxy.
func proxy(t *testing.T, cache string) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.FileServer(http.Dir(filepath.Join(cache, "cache/download")))}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { server.Close() })
	return "http://" + listener.Addr().String()
}

const onlyFirst, onlySecond = "only in the first", "only in the second"

// differences says in what the files of two folders differ: names, modes and
// bytes.
func differences(t *testing.T, a, b string) (compared int, different []string) {
	t.Helper()
	read := func(root string) map[string]string {
		files := map[string]string{}
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			info, err := d.Info()
			if err != nil {
				return err
			}
			name, _ := filepath.Rel(root, path)
			if name == "." {
				return nil
			}
			files[name] = info.Mode().String()
			if d.IsDir() {
				return nil
			}
			content, err := os.ReadFile(path)
			files[name] += fmt.Sprintf(" %d bytes, %x", len(content), sha256.Sum256(content))
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return files
	}
	inA, inB := read(a), read(b)
	for name, file := range inA {
		other, ok := inB[name]
		delete(inB, name)
		switch {
		case !ok:
			different = append(different, name+": "+onlyFirst)
			continue
		case other != file:
			different = append(different, fmt.Sprintf("%s: %s, and %s", name, file, other))
		}
		compared++
	}
	for name := range inB {
		different = append(different, name+": "+onlySecond)
	}
	return compared, different
}

// What TestReproducible relies on finds a difference of each kind.
func TestDifferences(t *testing.T) {
	a, b := t.TempDir(), t.TempDir()
	for _, f := range []struct {
		dir, name, content string
		mode               fs.FileMode
	}{
		{a, "same", "x", 0o644}, {b, "same", "x", 0o644}, {a, "byte", "x", 0o644}, {b, "byte", "y", 0o644}, {a, "mode", "x", 0o644}, {b, "mode", "x", 0o600},
		{a, "first", "", 0o644}, {b, "second", "", 0o644},
	} {
		if err := os.WriteFile(filepath.Join(f.dir, f.name), []byte(f.content), f.mode); err != nil {
			t.Fatal(err)
		}
	}
	compared, different := differences(t, a, b)
	slices.Sort(different)
	if all := strings.Join(different, "\n"); compared != 3 || len(different) != 4 || !strings.HasPrefix(all, "byte: ") || !strings.Contains(all, "\nfirst: ") ||
		!strings.Contains(all, "\nmode: ") || !strings.Contains(all, "\nsecond: ") {
		t.Errorf("%d compared: %s", compared, all)
	}
}
