package supervisor

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"usher/supervisor/binfmt"
	"usher/supervisor/binfmt/elftest"
	"usher/supervisor/spawn"
)

// fakeFile is a file of a fakeDisk. A link is a name; a target that is not there makes it a dangling one.
type fakeFile struct {
	content string
	mode    uint32 // 0 is an executable file
	uid     uint32
	link    string
	noexec  bool
}

const (
	fakeDir    = unix.S_IFDIR | 0o755
	fakeClosed = unix.S_IFDIR | 0o700
)

// fakeDisk is an image. As usher is root on it, nothing is hidden from it.
func fakeDisk(files map[string]fakeFile) *disk {
	return &disk{
		stat: func(path string) (fileInfo, syscall.Errno) {
			f, ok := files[path]
			for f.link != "" {
				f, ok = files[f.link]
			}
			if !ok {
				for file := filepath.Dir(path); file != "." && file != "/"; file = filepath.Dir(file) {
					if above, ok := files[file]; ok && above.mode&unix.S_IFMT != unix.S_IFDIR {
						return fileInfo{}, unix.ENOTDIR
					}
				}
				return fileInfo{}, unix.ENOENT
			}
			if f.mode == 0 {
				f.mode = 0o755
			}
			if f.mode&unix.S_IFMT == 0 {
				f.mode |= unix.S_IFREG
			}
			return fileInfo{f.mode, f.uid, f.uid}, 0
		},
		readlink: func(path string) string { return files[path].link },
		read: func(path string, b []byte, offset int64) int {
			content := files[path].content
			if offset < 0 || offset > int64(len(content)) {
				return 0
			}
			return copy(b, content[offset:])
		},
		noexec: func(path string) bool { return files[path].noexec },
		pids:   func() string { return "20" },
		limit:  func(int) int { return 8 << 20 },
	}
}

func TestExplain(t *testing.T) {
	foreign, foreignName := elftest.File(unix.EM_AARCH64, 2, 1, "/lib/ld-linux-aarch64.so.1"), "arm64"
	if runtime.GOARCH == "arm64" {
		foreign, foreignName = elftest.File(unix.EM_X86_64, 2, 1, ""), "x86-64"
	}
	built := "built for " + foreignName + ", this machine is " + binfmt.ThisMachine()
	files := map[string]fakeFile{
		"/":                      {mode: fakeDir},
		"/app":                   {mode: fakeDir},
		"/bin":                   {mode: fakeDir},
		"/secret":                {mode: fakeClosed},
		"/secret/app":            {content: elftest.ForThisMachine("")},
		"/app/nox":               {mode: 0o644},
		"/app/mine":              {mode: 0o750, content: elftest.ForThisMachine("")},
		"/app/fifo":              {mode: unix.S_IFIFO | 0o755},
		"/app/noexec":            {noexec: true, content: elftest.ForThisMachine("")},
		"/app/fine":              {content: elftest.ForThisMachine("")},
		"/app/foreign":           {content: foreign},
		"/app/musl":              {content: elftest.ForThisMachine("/lib/ld-musl-x86_64.so.1")},
		"/app/glibc":             {content: elftest.ForThisMachine("/lib64/ld-linux-x86-64.so.2")},
		"/app/nix":               {content: elftest.ForThisMachine("/nix/store/x-glibc/lib/ld-linux-x86-64.so.2")},
		"/app/bsd":               {content: elftest.ForThisMachine("/libexec/ld-elf.so.1")},
		"/app/32":                {content: elftest.File(unix.EM_386, 1, 1, "/lib/ld-linux.so.2")},
		"/app/badloader":         {content: elftest.ForThisMachine("/app/foreign")},
		"/app/loaderdir":         {content: elftest.ForThisMachine("/app")},
		"/app/dynamic":           {content: elftest.ForThisMachine("/app/fine")},
		"/app/nobash":            {content: "#!/bin/bash\n"},
		"/app/python":            {content: "#!/usr/bin/python3 -u\n"},
		"/usr/local/bin/python3": {content: elftest.ForThisMachine("")},
		"/app/report":            {content: "#! /usr/bin/perl\n"},
		"/app/crlf":              {content: "#!/bin/env\r\nx"},
		"/app/relative":          {content: "#!python3\n"},
		"/opt/my tools":          {content: elftest.ForThisMachine("")},
		"/app/words":             {content: "#!/opt/my tools\n"},
		"/app/dirinterp":         {content: "#!/app\n"},
		"/app/noxinterp":         {content: "#!/app/nox -x\n"},
		"/app/foreigninterp":     {content: "#!/app/foreign\n"},
		"/app/muslinterp":        {content: "#!/app/musl\n"},
		"/app/textinterp":        {content: "#!/app/text\n"},
		"/app/text":              {content: "echo\n"},
		"/app/self":              {content: "#!/app/self\n"},
		"/app/long":              {content: "#!/" + strings.Repeat("x", 300)},
		"/app/broken":            {content: elftest.ForThisMachine("")[:30]},
		"/app/windows":           {content: "MZ\x90\x00\x03"},
		"/app/macos":             {content: "\xcf\xfa\xed\xfe\x07\x00"},
		"/app/dangling":          {link: "/usr/bin/gone"},
		"/app/unreadable":        {},
	}
	execve := func(file string, errno syscall.Errno) *spawn.ExecError {
		return &spawn.ExecError{File: file, Errno: errno}
	}
	for _, c := range []struct {
		command string
		err     error
		code    int
		why     string
		hint    string // a part of it
	}{
		{"/app/gone", execve("/app/gone", unix.ENOENT), 127, `no such file`, ""},
		{"/gone/app", execve("/gone/app", unix.ENOENT), 127, `no such file: there is no directory "/gone"`, ""},
		{"/app/fine/x", execve("/app/fine/x", unix.ENOTDIR), 127, `no such file: "/app/fine" is not a directory`, ""},
		{"", execve("", unix.ENOENT), 127, `the name is empty`, "variable"},
		{"gone", execve("/usr/bin/gone", unix.ENOENT), 127, `not found in PATH, "/usr/bin:/app:/usr/local/bin"`, ""},
		{"nginx -g 'daemon off;'", execve("/usr/bin/x", unix.ENOENT), 127, `not found in PATH, "/usr/bin:/app:/usr/local/bin"`, `separate words: ["nginx", ...]`},
		{"/app/srv --port 80", execve("/app/srv --port 80", unix.ENOENT), 127, `no such file`, `separate words: ["/app/srv", ...]`},
		{"fine\r", execve("/usr/bin/fine\r", unix.ENOENT), 127, `not found in PATH, "/usr/bin:/app:/usr/local/bin"`, `separate words: ["fine", ...]`},
		{"$HOME/app", execve("$HOME/app", unix.ENOENT), 127, `no such file: there is no directory "$HOME"`, "variables need a shell"},
		{"--port", execve("/usr/bin/--port", unix.ENOENT), 127, `not found in PATH, "/usr/bin:/app:/usr/local/bin"`, "looks like a flag"},
		{"PORT=80", execve("/usr/bin/PORT=80", unix.ENOENT), 127, `not found in PATH, "/usr/bin:/app:/usr/local/bin"`, "set by ENV"},
		{"exec", execve("/usr/bin/exec", unix.ENOENT), 127, `not found in PATH, "/usr/bin:/app:/usr/local/bin"`, "only a shell"},
		{"/bin/sh", execve("/bin/sh", unix.ENOENT), 127, `no such file`, "no shell"},
		{"fine", execve("/usr/bin/fine", unix.EACCES), 126, `"/app/fine": permission denied`, "SELinux"},
		{"nox", execve("/app/nox", unix.EACCES), 126, `"/app/nox" is not executable (permission denied)`, "chmod +x"},
		{"musl", execve("/usr/bin/musl", unix.ENOENT), 126, `the loader "/lib/ld-musl-x86_64.so.1" of "/app/musl" is not there: there is no directory "/lib"`, "Alpine"},

		{"/app", execve("/app", unix.EACCES), 126, `it is a directory`, ""},
		{"/app/fifo", execve("/app/fifo", unix.EACCES), 126, `it is no regular file`, ""},
		{"/app/nox", execve("/app/nox", unix.EACCES), 126, `it is not executable (permission denied)`, "chmod +x"},
		{"/app/noexec", execve("/app/noexec", unix.EACCES), 126, `it is on a file system that is mounted noexec`, "exec"},
		{"/app/mine", execve("/app/mine", unix.EACCES), 126, `it may not be run by uid 1000 (permission denied): mode 750, owner 0:0`, "another user"},
		{"/secret/app", execve("/secret/app", unix.EACCES), 126, `it can't be reached: uid 1000 may not search "/secret" (permission denied)`, "on that directory"},
		{"/app/fine", execve("/app/fine", unix.EACCES), 126, `permission denied`, "SELinux"},
		{"/app/fine", execve("/app/fine", unix.EPERM), 126, `operation not permitted`, "getcap"},
		{"/app/fine", execve("/app/fine", unix.EMFILE), 126, `too many open files`, ""},
		{"/app/dangling", execve("/app/dangling", unix.ENOENT), 127, `it is a symbolic link to "/usr/bin/gone": no such file or directory`, ""},

		{"/app/foreign", execve("/app/foreign", unix.ENOEXEC), 126, "it is " + built, "--platform linux/" + runtime.GOARCH},
		{"/app/broken", execve("/app/broken", unix.ENOEXEC), 126, "it is a truncated ELF file", "anew"},
		{"/app/windows", execve("/app/windows", unix.ENOEXEC), 126, "it is neither a program for this machine nor a script, but a Windows program", ""},
		{"/app/macos", execve("/app/macos", unix.ENOEXEC), 126, "it is neither a program for this machine nor a script, but a macOS program", ""},
		{"/app/musl", execve("/app/musl", unix.ENOENT), 126, `its loader "/lib/ld-musl-x86_64.so.1" is not there: there is no directory "/lib"`, "Alpine (musl), this image has no musl"},
		{"/app/glibc", execve("/app/glibc", unix.ENOENT), 126, `its loader "/lib64/ld-linux-x86-64.so.2" is not there: there is no directory "/lib64"`, "glibc, this image has none"},
		{"/app/nix", execve("/app/nix", unix.ENOENT), 126, `its loader "/nix/store/x-glibc/lib/ld-linux-x86-64.so.2" is not there: there is no directory "/nix"`, "Nix"},
		{"/app/bsd", execve("/app/bsd", unix.ENOENT), 126, `its loader "/libexec/ld-elf.so.1" is not there: there is no directory "/libexec"`, "static"},
		{"/app/32", execve("/app/32", unix.ENOENT), 126, `its loader "/lib/ld-linux.so.2" is not there: there is no directory "/lib"`, "glibc"},
		{"/app/badloader", execve("/app/badloader", unix.ELIBBAD), 126, `its loader "/app/foreign" is ` + built, "--platform"},
		{"/app/loaderdir", execve("/app/loaderdir", unix.EACCES), 126, `its loader "/app" is a directory`, ""},

		{"/app/nobash", execve("/app/nobash", unix.ENOENT), 126, `its interpreter "/bin/bash" is not there`, "no shell"},
		{"/app/python", execve("/app/python", unix.ENOENT), 126, `its interpreter "/usr/bin/python3" is not there: there is no directory "/usr"`, `there is "/usr/local/bin/python3"`},
		{"/app/report", execve("/app/report", unix.ENOENT), 126, `its interpreter "/usr/bin/perl" is not there: there is no directory "/usr"`, ""},
		{"/app/crlf", execve("/app/crlf", unix.ENOENT), 126, `its interpreter "/bin/env\r" is not there`, "Windows"},
		{"/app/relative", execve("/app/relative", unix.ENOENT), 126, `its interpreter "python3" is not there`, "#!/usr/bin/env python3"},
		{"/app/words", execve("/app/words", unix.ENOENT), 126, `its interpreter "/opt/my" is not there: there is no directory "/opt"`, "first space"},
		{"/app/dirinterp", execve("/app/dirinterp", unix.EACCES), 126, `its interpreter "/app" is a directory`, ""},
		{"/app/noxinterp", execve("/app/noxinterp", unix.EACCES), 126, `its interpreter "/app/nox" is not executable (permission denied)`, "chmod"},
		{"/app/foreigninterp", execve("/app/foreigninterp", unix.ENOEXEC), 126, `its interpreter "/app/foreign" is ` + built, "--platform"},
		{"/app/muslinterp", execve("/app/muslinterp", unix.ENOENT), 126,
			`the loader "/lib/ld-musl-x86_64.so.1" of its interpreter "/app/musl" is not there: there is no directory "/lib"`, "Alpine"},
		{"/app/textinterp", execve("/app/textinterp", unix.ENOEXEC), 126, `its interpreter "/app/text" is neither a program for this machine nor a script`, ""},
		{"/app/long", execve("/app/long", unix.ENOEXEC), 126, `it has a #! line of more than 255 bytes`, ""},
		{"/app/unreadable", execve("/app/unreadable", unix.ENOENT), 126, `it can't be read to see which interpreter or loader is missing`, ""},

		{"/app/text", &spawn.ShellError{ExecError: execve("/bin/sh", unix.ENOENT)}, 126, `it has no #! line, and "/bin/sh" is not there`, "#!"},
		{"/app/fine", execve("/app/fine", unix.E2BIG), 126, `argument list too long`, "2097152 (a quarter"},
		{"/app/fine", execve("/app/fine", unix.ETXTBSY), 126, `text file busy`, "open for writing"},
		{"/app/dynamic", execve("/app/dynamic", unix.ETXTBSY), 126, `text file busy`, "open for writing"}, // it or its loader
		{"/app/dynamic", execve("/app/dynamic", unix.EPERM), 126, `operation not permitted`, "forbid it"},
		{"/app/fine", execve("/app/fine", unix.ENOMEM), 126, `cannot allocate memory`, "memory limit"},
		{"/app/fine", fmt.Errorf("cannot fork: %w", unix.EAGAIN), 125, `cannot fork: resource temporarily unavailable`, "is 20; the user's"},
		{"/app/fine", fmt.Errorf("cannot fork: %w", unix.ENOMEM), 125, `cannot fork: cannot allocate memory`, "memory limit"},
		{"/app/fine", errors.New("something else"), 125, `something else`, ""},
	} {
		x := &explainer{disk: fakeDisk(files), env: []string{"PATH=/usr/bin:/app:/usr/local/bin"}, as: &spawn.Identity{UID: 1000, GID: 1000}}
		x.explain([]string{c.command}, c.err)
		code := x.code
		if want := fmt.Sprintf("cannot start %q: %s", c.command, c.why); code != c.code || x.why != want {
			t.Errorf("%q, %v:\n got %d %s\nwant %d %s", c.command, c.err, code, x.why, c.code, want)
		}
		if !strings.Contains(x.hint, c.hint) || c.hint == "" && x.hint != "" {
			t.Errorf("%q, %v: hint %q, want %q", c.command, c.err, x.hint, c.hint)
		}
	}
}

// The reason has to find its place in the log and in the 4096 bytes of the termination log, whatever names are like.
func TestLongNames(t *testing.T) {
	long := strings.Repeat("x\n\xff", 1<<16)
	for _, errno := range []syscall.Errno{unix.ENOENT, unix.EACCES, unix.ENOEXEC, unix.E2BIG, unix.ENAMETOOLONG} {
		for _, d := range []*disk{fakeDisk(nil), fakeDisk(map[string]fakeFile{"/" + long: {content: elftest.ForThisMachine(long)}}), &realDisk} {
			for _, name := range []string{long, "/" + long} {
				x := &explainer{disk: d, as: spawn.OwnIdentity(), env: []string{"PATH=" + long, "X=" + long}}
				x.explain([]string{name}, &spawn.ExecError{File: name, Errno: errno})
				if len(x.why) > 4096 || strings.Contains(x.why+x.hint, "\n") || !utf8.ValidString(x.why+x.hint) {
					t.Errorf("%v: %d bytes, %.200q, %.200q", errno, len(x.why), x.why, x.hint)
				}
			}
		}
	}
}

func TestMay(t *testing.T) {
	for _, c := range []struct {
		mode     uint32
		uid, gid uint32
		want     bool
	}{
		{0o100, 1000, 1, true}, {0o011, 1000, 1000, false}, {0o010, 1, 1000, true}, {0o101, 1, 1000, false}, {0o010, 1, 7, true}, {0o001, 1, 1, true}, {0o110, 1, 1, false},
	} {
		id := spawn.Identity{UID: 1000, GID: 1000, Groups: []uint32{6, 7}}
		if got := may(&id, fileInfo{c.mode, c.uid, c.gid}); got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
}

// What the explainer finds is what the kernel meant: for real files, with the kernel's own errno.
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
		{write("unknown", elftest.File(4711, 2, 1, ""), 0o755), "it is built for machine 4711 (64-bit, little-endian), this machine is " + binfmt.ThisMachine()},
		{write("object", string(object), 0o755), "it is an object file that has not been linked"},
		{write("short", elftest.ForThisMachine("")[:40], 0o755), "it is a truncated ELF file"},
		{write("noheaders", elftest.ForThisMachine("")[:64], 0o755), "it is a truncated ELF file"},
		{write("noname", strings.TrimRight(elftest.ForThisMachine("/lib/ld.so"), ".so\x00"), 0o755), "it is a truncated ELF file"},
		{write("musl", elftest.ForThisMachine("/no/lib/ld-musl.so.1"), 0o755), `its loader "/no/lib/ld-musl.so.1" is not there: there is no directory "/no"`},
		{write("loadernox", elftest.ForThisMachine(nox), 0o755), fmt.Sprintf("its loader %q is not executable (permission denied)", nox)},
		{write("loadertext", elftest.ForThisMachine(text), 0o755), fmt.Sprintf("its loader %q is neither a program for this machine nor a script", text)},
		{write("loaderforeign", elftest.ForThisMachine(foreign), 0o755), fmt.Sprintf("its loader %q is built for sparc64, this machine is %s", foreign, binfmt.ThisMachine())},
		{write("loaderdir", elftest.ForThisMachine(dir), 0o755), fmt.Sprintf("its loader %q is a directory", dir)},
		{write("crlf", "#!/bin/sh\r\nexit\r\n", 0o755), `its interpreter "/bin/sh\r" is not there`},
		{write("relative", "#!no-such-interpreter -x -y\n", 0o755), `its interpreter "no-such-interpreter" is not there`},
		{write("tab", "#! \t/no\t-x\n", 0o755), `its interpreter "/no" is not there`},
		{write("dirinterp", "#!"+dir, 0o755), fmt.Sprintf("its interpreter %q is a directory", dir)},
		{write("foreigninterp", "#!"+foreign+" x\n", 0o755), fmt.Sprintf("its interpreter %q is built for sparc64, this machine is %s", foreign, binfmt.ThisMachine())},
		{write("long", "#!/"+strings.Repeat("x/", 200), 0o755), "it has a #! line of more than 255 bytes"},
		{link("circle", "circle"), `it is a symbolic link to "circle": too many levels of symbolic links`},
		{link("dangling", "nowhere/at/all"), `it is a symbolic link to "nowhere/at/all": no such file or directory`},
		{dir + "/" + strings.Repeat("n", 300), "file name too long"},
		{nox, "it is not executable (permission denied)"},
		{nox + "/x", fmt.Sprintf("no such file: %q is not a directory", nox)},
		{dir, "it is a directory"},
		{write("windows", "MZ\x00\x00", 0o755), "it is neither a program for this machine nor a script, but a Windows program"},
	} {
		err := syscall.Exec(c.file, []string{c.file}, nil) // none of them succeeds
		x := &explainer{disk: &realDisk, as: spawn.OwnIdentity()}
		x.explain([]string{c.file}, &spawn.ExecError{File: c.file, Errno: err.(syscall.Errno)})
		if _, why, _ := strings.Cut(x.why, `": `); why != c.why {
			t.Errorf("%s, %v:\n got %s\nwant %s", filepath.Base(c.file), err, why, c.why)
		}
	}
	x := &explainer{disk: &realDisk, as: spawn.OwnIdentity()}
	x.explain([]string{self}, &spawn.ExecError{File: self, Errno: syscall.Exec(self, []string{self}, nil).(syscall.Errno)})
	if !strings.Contains(x.why, "is one script too many") || len(x.why) > 4096 {
		t.Errorf("%s", x.why)
	}
	if exec.Command(text).Run() == nil {
		t.Error("this kernel runs scripts without #!")
	}
}
