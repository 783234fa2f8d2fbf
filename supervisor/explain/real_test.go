package explain

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"usher/supervisor/binfmt"
	"usher/supervisor/binfmt/elftest"
	"usher/supervisor/spawn"
)

// For real files, and the errno that this kernel returns, the inquiry finds the
// true reason.
func TestExplainReal(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	link := func(name, target string) string {
		path := filepath.Join(dir, name)
		if err := os.Symlink(target, path); err != nil {
			t.Fatal(err)
		}
		return path
	}
	foreign := write("foreign", elftest.File(unix.EM_SPARCV9, 2, 2, ""), 0o755)
	nox := write("nox", elftest.ForThisMachine(""), 0o644)
	text := write("text", "echo\n", 0o755)
	self := filepath.Join(dir, "self")
	write("self", "#!"+self+"\n", 0o755)
	object := []byte(elftest.ForThisMachine(""))
	object[16], object[17] = 0, 0
	for order := range 2 { // ET_REL, in the byte order of this machine
		if object[5] == byte(order+1) {
			object[16+order] = 1
		}
	}
	for _, c := range []struct{ file, why string }{
		{foreign, "it is built for sparc64, this machine is " + binfmt.ThisMachine()},
		{write("unknown", elftest.File(4711, 2, 1, ""), 0o755),
			"it is built for machine 4711 (64-bit, little-endian), this machine is " + binfmt.ThisMachine()},
		{write("object", string(object), 0o755), "it is an object file that has not been linked"},
		{write("short", elftest.ForThisMachine("")[:40], 0o755), "it is a truncated ELF file"},
		{write("noheaders", elftest.ForThisMachine("")[:64], 0o755), "it is a truncated ELF file"},
		{write("noname", strings.TrimRight(elftest.ForThisMachine("/lib/ld.so"), ".so\x00"), 0o755),
			"it is a truncated ELF file"},
		{write("musl", elftest.ForThisMachine("/no/lib/ld-musl.so.1"), 0o755),
			`its loader "/no/lib/ld-musl.so.1" is not there: there is no directory "/no"`},
		{write("loadernox", elftest.ForThisMachine(nox), 0o755),
			fmt.Sprintf("its loader %q is not executable (permission denied)", nox)},
		{write("loadertext", elftest.ForThisMachine(text), 0o755),
			fmt.Sprintf("its loader %q is neither a program for this machine nor a script", text)},
		{write("loaderforeign", elftest.ForThisMachine(foreign), 0o755),
			fmt.Sprintf("its loader %q is built for sparc64, this machine is %s", foreign, binfmt.ThisMachine())},
		{write("loaderdir", elftest.ForThisMachine(dir), 0o755), fmt.Sprintf("its loader %q is a directory", dir)},
		{write("crlf", "#!/bin/sh\r\nexit\r\n", 0o755), `its interpreter "/bin/sh\r" is not there`},
		{write("relative", "#!no-such-interpreter -x -y\n", 0o755),
			`its interpreter "no-such-interpreter" is not there`},
		{write("tab", "#! \t/no\t-x\n", 0o755), `its interpreter "/no" is not there`},
		{write("dirinterp", "#!"+dir, 0o755), fmt.Sprintf("its interpreter %q is a directory", dir)},
		{write("foreigninterp", "#!"+foreign+" x\n", 0o755),
			fmt.Sprintf("its interpreter %q is built for sparc64, this machine is %s", foreign, binfmt.ThisMachine())},
		{write("long", "#!/"+strings.Repeat("x/", 200), 0o755), "it has a #! line of more than 255 bytes"},
		{link("circle", "circle"), `it is a symbolic link to "circle": too many levels of symbolic links`},
		{link("dangling", "nowhere/at/all"), `it is a symbolic link to "nowhere/at/all": no such file or directory`},
		{dir + "/" + strings.Repeat("n", 300), "file name too long"},
		{nox, "it is not executable (permission denied)"},
		{nox + "/x", fmt.Sprintf("no such file: %q is not a directory", nox)},
		{dir, "it is a directory"},
		{write("windows", "MZ\x00\x00", 0o755),
			"it is neither a program for this machine nor a script, but a Windows program"},
	} {
		err := syscall.Exec(c.file, []string{c.file}, nil) // none of them succeeds
		x := &inquiry{disk: &realDisk, user: spawn.OwnIdentity()}
		x.explain([]string{c.file}, &spawn.ExecError{File: c.file, Errno: err.(syscall.Errno)})
		if _, why, _ := strings.Cut(x.Why, `": `); why != c.why {
			t.Errorf("%s, %v:\n got %s\nwant %s", filepath.Base(c.file), err, why, c.why)
		}
	}
	x := &inquiry{disk: &realDisk, user: spawn.OwnIdentity()}
	err := syscall.Exec(self, []string{self}, nil)
	x.explain([]string{self}, &spawn.ExecError{File: self, Errno: err.(syscall.Errno)})
	if !strings.Contains(x.Why, "is one script too many") || len(x.Why) > 4096 {
		t.Errorf("%s", x.Why)
	}
	if exec.Command(text).Run() == nil {
		t.Error("this kernel runs scripts without #!")
	}
}

// Root looks for the app's user at no file that the user can neither read nor run.
func TestReadFor(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte("#!/x"), 0o600); err != nil {
		t.Fatal(err)
	}
	other := &spawn.Identity{UID: uint32(os.Getuid()) + 1, GID: uint32(os.Getgid()) + 1}
	for mode, want := range map[os.FileMode]int{0o600: 0, 0o700: 0, 0o640: 0, 0o604: 4, 0o401: 4} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		var b [8]byte
		if got := readFor(other, path, b[:], 0); got != want {
			t.Errorf("mode %o: %d bytes, want %d", mode, got, want)
		}
	}
}
