package healthz

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// TestPlace: where a socket may be, and that listening there changes nothing
// else in the process.
func TestPlace(t *testing.T) {
	dir := t.TempDir()
	old := syscall.Umask(0o077)
	defer syscall.Umask(old)
	for _, name := range []string{"plain", "@at", "..x", strings.Repeat("n", 100-len(dir))} {
		path := filepath.Join(dir, name)
		l, err := Listen("unix:" + path)
		if err != nil {
			t.Errorf("%q: %v", name, err)
			continue
		}
		if st, err := os.Lstat(path); err != nil || st.Mode() != os.ModeSocket|0o666 {
			t.Errorf("%q: %v, %v", name, st, err)
		}
		l.Close()
		if _, err := os.Lstat(path); !os.IsNotExist(err) {
			t.Errorf("%q: left behind: %v", name, err)
		}
	}
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{dir + "/none/x", dir + "/", dir, dir + "/.", dir + "/..", "/"} {
		if l, err := Listen("unix:" + bad); err == nil {
			l.Close()
			t.Errorf("%q: no error", bad)
		}
	}
	if now, err := os.Getwd(); now != here {
		t.Errorf("the working directory is %q, %v; it was %q", now, err, here)
	}
	if mask := syscall.Umask(0o077); mask != 0o077 {
		t.Errorf("the umask is %o", mask)
	}
}

// TestPlaceTaken: a file that another process has put in the place of a socket
// stays, or is not followed.
func TestPlaceTaken(t *testing.T) {
	dir := t.TempDir()
	path, precious := filepath.Join(dir, "s"), filepath.Join(dir, "precious")
	if err := os.WriteFile(precious, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	listens := func() *Listener {
		t.Helper()
		l, err := Listen("unix:" + path)
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	dead := func(path string) {
		t.Helper()
		l, err := net.Listen("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		l.(*net.UnixListener).SetUnlinkOnClose(false)
		l.Close()
	}
	for name, put := range map[string]func(){
		"a file":           func() { os.WriteFile(path, nil, 0o600) },
		"a link":           func() { os.Symlink(precious, path) },
		"a link to itself": func() { os.Symlink(path, path) },
		"another's socket": func() { dead(path) },
		"a directory":      func() { os.Mkdir(path, 0o700) },
	} {
		l := listens()
		os.Remove(path)
		put()
		l.Close()
		if _, err := os.Lstat(path); err != nil {
			t.Errorf("%s, put in its place, is gone: %v", name, err)
		}
		if l, err := Listen("unix:" + path); (err == nil) != (name == "another's socket") {
			t.Errorf("%s: %v", name, err)
		} else if err == nil {
			l.Close()
		}
		os.Remove(path)
	}
	// Another directory takes the place of the directory, with a file that looks
	// the same.
	away := filepath.Join(dir, "away")
	sub := filepath.Join(dir, "sub")
	os.Mkdir(sub, 0o700)
	path = filepath.Join(sub, "s")
	l := listens()
	os.Rename(sub, away)
	os.Mkdir(sub, 0o700)
	dead(path)
	l.Close()
	if _, err := os.Lstat(path); err != nil {
		t.Errorf("a socket in another directory is gone: %v", err)
	}
	if _, err := os.Lstat(filepath.Join(away, "s")); !os.IsNotExist(err) {
		t.Errorf("its own socket is there: %v", err)
	}
	os.Remove(path)
	// Links on the way.
	link := filepath.Join(dir, "link")
	for _, target := range []string{sub, "sub", "../" + filepath.Base(dir) + "/sub/", "./sub/../away/../sub"} {
		os.Remove(link)
		os.Symlink(target, link)
		l, err := Listen("unix:" + link + "/s")
		if err != nil {
			t.Errorf("%q: %v", target, err)
			continue
		}
		if _, err := os.Lstat(path); err != nil {
			t.Errorf("%q: %v", target, err)
		}
		l.Close()
	}
	os.Remove(link)
	os.Symlink("link", link)
	if _, err := Listen("unix:" + link + "/s"); err == nil || !strings.Contains(err.Error(), unix.ELOOP.Error()) {
		t.Errorf("a link to itself: %v", err)
	}
	os.Remove(link)
	os.Symlink(sub, link)
	if err := os.Lchown(link, 65534, 65534); err != nil {
		t.Skip(err)
	}
	if _, err := Listen("unix:" + link + "/s"); err == nil || !strings.Contains(err.Error(), "a symbolic link that belongs to another user") {
		t.Errorf("another user's link: %v", err)
	}
}
