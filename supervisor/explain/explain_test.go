package explain

import (
	"errors"
	"fmt"
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
		{"nginx -g 'daemon off;'", execve("/usr/bin/x", unix.ENOENT), 127,
			`not found in PATH, "/usr/bin:/app:/usr/local/bin"`, `separate words: ["nginx", ...]`},
		{"/app/srv --port 80", execve("/app/srv --port 80", unix.ENOENT), 127,
			`no such file`, `separate words: ["/app/srv", ...]`},
		{"fine\r", execve("/usr/bin/fine\r", unix.ENOENT), 127,
			`not found in PATH, "/usr/bin:/app:/usr/local/bin"`, `separate words: ["fine", ...]`},
		{"$HOME/app", execve("$HOME/app", unix.ENOENT), 127,
			`no such file: there is no directory "$HOME"`, "variables need a shell"},
		{"--port", execve("/usr/bin/--port", unix.ENOENT), 127,
			`not found in PATH, "/usr/bin:/app:/usr/local/bin"`, "looks like a flag"},
		{"PORT=80", execve("/usr/bin/PORT=80", unix.ENOENT), 127,
			`not found in PATH, "/usr/bin:/app:/usr/local/bin"`, "set by ENV"},
		{"exec", execve("/usr/bin/exec", unix.ENOENT), 127,
			`not found in PATH, "/usr/bin:/app:/usr/local/bin"`, "only a shell"},
		{"/bin/sh", execve("/bin/sh", unix.ENOENT), 127, `no such file`, "no shell"},
		{"fine", execve("/usr/bin/fine", unix.EACCES), 126, `"/app/fine": permission denied`, "SELinux"},
		{"nox", execve("/app/nox", unix.EACCES), 126, `"/app/nox" is not executable (permission denied)`, "chmod +x"},
		{"musl", execve("/usr/bin/musl", unix.ENOENT), 126,
			`the loader "/lib/ld-musl-x86_64.so.1" of "/app/musl" is not there: there is no directory "/lib"`,
			"Alpine"},

		{"/app", execve("/app", unix.EACCES), 126, `it is a directory`, ""},
		{"/app/fifo", execve("/app/fifo", unix.EACCES), 126, `it is no regular file`, ""},
		{"/app/nox", execve("/app/nox", unix.EACCES), 126, `it is not executable (permission denied)`, "chmod +x"},
		{"/app/noexec", execve("/app/noexec", unix.EACCES), 126,
			`it is on a file system that is mounted noexec`, "exec"},
		{"/app/mine", execve("/app/mine", unix.EACCES), 126,
			`it may not be run by uid 1000 (permission denied): mode 750, owner 0:0`, "another user"},
		{"/secret/app", execve("/secret/app", unix.EACCES), 126,
			`it can't be reached: uid 1000 may not search "/secret" (permission denied)`, "on that directory"},
		{"/app/fine", execve("/app/fine", unix.EACCES), 126, `permission denied`, "SELinux"},
		{"/app/fine", execve("/app/fine", unix.EPERM), 126, `operation not permitted`, "getcap"},
		{"/app/fine", execve("/app/fine", unix.EMFILE), 126, `too many open files`, ""},
		{"/app/dangling", execve("/app/dangling", unix.ENOENT), 127,
			`it is a symbolic link to "/usr/bin/gone": no such file or directory`, ""},

		{"/app/foreign", execve("/app/foreign", unix.ENOEXEC), 126,
			"it is " + built, "--platform linux/" + runtime.GOARCH},
		{"/app/broken", execve("/app/broken", unix.ENOEXEC), 126, "it is a truncated ELF file", "again"},
		{"/app/windows", execve("/app/windows", unix.ENOEXEC), 126,
			"it is neither a program for this machine nor a script, but a Windows program", ""},
		{"/app/macos", execve("/app/macos", unix.ENOEXEC), 126,
			"it is neither a program for this machine nor a script, but a macOS program", ""},
		{"/app/musl", execve("/app/musl", unix.ENOENT), 126,
			`its loader "/lib/ld-musl-x86_64.so.1" is not there: there is no directory "/lib"`,
			"Alpine (musl), this image has no musl"},
		{"/app/glibc", execve("/app/glibc", unix.ENOENT), 126,
			`its loader "/lib64/ld-linux-x86-64.so.2" is not there: there is no directory "/lib64"`,
			"glibc, this image has none"},
		{"/app/nix", execve("/app/nix", unix.ENOENT), 126,
			`its loader "/nix/store/x-glibc/lib/ld-linux-x86-64.so.2" is not there: there is no directory "/nix"`,
			"Nix"},
		{"/app/bsd", execve("/app/bsd", unix.ENOENT), 126,
			`its loader "/libexec/ld-elf.so.1" is not there: there is no directory "/libexec"`, "static"},
		{"/app/32", execve("/app/32", unix.ENOENT), 126,
			`its loader "/lib/ld-linux.so.2" is not there: there is no directory "/lib"`, "glibc"},
		{"/app/badloader", execve("/app/badloader", unix.ELIBBAD), 126,
			`its loader "/app/foreign" is ` + built, "--platform"},
		{"/app/loaderdir", execve("/app/loaderdir", unix.EACCES), 126, `its loader "/app" is a directory`, ""},

		{"/app/nobash", execve("/app/nobash", unix.ENOENT), 126,
			`its interpreter "/bin/bash" is not there`, "no shell"},
		{"/app/python", execve("/app/python", unix.ENOENT), 126,
			`its interpreter "/usr/bin/python3" is not there: there is no directory "/usr"`,
			`there is "/usr/local/bin/python3"`},
		{"/app/report", execve("/app/report", unix.ENOENT), 126,
			`its interpreter "/usr/bin/perl" is not there: there is no directory "/usr"`, ""},
		{"/app/crlf", execve("/app/crlf", unix.ENOENT), 126, `its interpreter "/bin/env\r" is not there`, "Windows"},
		{"/app/relative", execve("/app/relative", unix.ENOENT), 126,
			`its interpreter "python3" is not there`, "#!/usr/bin/env python3"},
		{"/app/words", execve("/app/words", unix.ENOENT), 126,
			`its interpreter "/opt/my" is not there: there is no directory "/opt"`, "first space"},
		{"/app/dirinterp", execve("/app/dirinterp", unix.EACCES), 126, `its interpreter "/app" is a directory`, ""},
		{"/app/noxinterp", execve("/app/noxinterp", unix.EACCES), 126,
			`its interpreter "/app/nox" is not executable (permission denied)`, "chmod"},
		{"/app/foreigninterp", execve("/app/foreigninterp", unix.ENOEXEC), 126,
			`its interpreter "/app/foreign" is ` + built, "--platform"},
		{"/app/muslinterp", execve("/app/muslinterp", unix.ENOENT), 126,
			`the loader "/lib/ld-musl-x86_64.so.1" of its interpreter "/app/musl" is not there: there is no directory "/lib"`,
			"Alpine"},
		{"/app/textinterp", execve("/app/textinterp", unix.ENOEXEC), 126,
			`its interpreter "/app/text" is neither a program for this machine nor a script`, ""},
		{"/app/long", execve("/app/long", unix.ENOEXEC), 126, `it has a #! line of more than 255 bytes`, ""},
		{"/app/unreadable", execve("/app/unreadable", unix.ENOENT), 126,
			`it can't be read to see which interpreter or loader is missing`, ""},

		{"/app/text", &spawn.ShellError{ExecError: execve("/bin/sh", unix.ENOENT)}, 126,
			`it has no #! line, and "/bin/sh" is not there`, "#!"},
		{"/app/fine", execve("/app/fine", unix.E2BIG), 126, `argument list too long`, "2097152 (a quarter"},
		{"/app/fine", execve("/app/fine", unix.ETXTBSY), 126, `text file busy`, "open for writing"},
		{"/app/dynamic", execve("/app/dynamic", unix.ETXTBSY), 126,
			`text file busy`, "open for writing"}, // it or its loader
		{"/app/dynamic", execve("/app/dynamic", unix.EPERM), 126, `operation not permitted`, "forbid it"},
		{"/app/fine", execve("/app/fine", unix.ENOMEM), 126, `cannot allocate memory`, "memory limit"},
		{"/app/fine", fmt.Errorf("cannot fork: %w", unix.EAGAIN), 125,
			`cannot fork: resource temporarily unavailable`, "is 20; the user's"},
		{"/app/fine", fmt.Errorf("cannot fork: %w", unix.ENOMEM), 125,
			`cannot fork: cannot allocate memory`, "memory limit"},
		{"/app/fine", errors.New("something else"), 125, `something else`, ""},
	} {
		x := &inquiry{disk: fakeDisk(files), env: []string{"PATH=/usr/bin:/app:/usr/local/bin"},
			user: &spawn.Identity{UID: 1000, GID: 1000}}
		x.explain([]string{c.command}, c.err)
		code := x.Code
		if want := fmt.Sprintf("cannot start %q: %s", c.command, c.why); code != c.code || x.Why != want {
			t.Errorf("%q, %v:\n got %d %s\nwant %d %s", c.command, c.err, code, x.Why, c.code, want)
		}
		if !strings.Contains(x.Hint, c.hint) || c.hint == "" && x.Hint != "" {
			t.Errorf("%q, %v: hint %q, want %q", c.command, c.err, x.Hint, c.hint)
		}
	}
}

// However long the names are, the reason fits into the log and into the 4096 bytes
// of the termination log.
func TestLongNames(t *testing.T) {
	long := strings.Repeat("x\n\xff", 1<<16)
	for _, errno := range []syscall.Errno{unix.ENOENT, unix.EACCES, unix.ENOEXEC, unix.E2BIG, unix.ENAMETOOLONG} {
		program := fakeDisk(map[string]fakeFile{"/" + long: {content: elftest.ForThisMachine(long)}})
		for _, d := range []*disk{fakeDisk(nil), program, &realDisk} {
			for _, name := range []string{long, "/" + long} {
				x := &inquiry{disk: d, user: spawn.OwnIdentity(), env: []string{"PATH=" + long, "X=" + long}}
				x.explain([]string{name}, &spawn.ExecError{File: name, Errno: errno})
				if len(x.Why) > 4096 || strings.Contains(x.Why+x.Hint, "\n") || !utf8.ValidString(x.Why+x.Hint) {
					t.Errorf("%v: %d bytes, %.200q, %.200q", errno, len(x.Why), x.Why, x.Hint)
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
		{0o100, 1000, 1, true}, {0o011, 1000, 1000, false}, {0o010, 1, 1000, true}, {0o101, 1, 1000, false},
		{0o010, 1, 7, true}, {0o001, 1, 1, true}, {0o110, 1, 1, false},
	} {
		id := spawn.Identity{UID: 1000, GID: 1000, Groups: []uint32{6, 7}}
		if got := may(&id, mayRun, fileInfo{c.mode, c.uid, c.gid}); got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
}
