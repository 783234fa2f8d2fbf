package supervisor

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"usher/supervisor/binfmt"
	"usher/supervisor/spawn"
)

// may tells whether the mode's x bits are for this identity. Capabilities are not its business.
func may(id *spawn.Identity, f fileInfo) bool {
	shift := 0
	switch {
	case f.uid == id.UID:
		shift = 6
	case f.gid == id.GID || slices.Contains(id.Groups, f.gid):
		shift = 3
	}
	return f.mode>>shift&1 != 0
}

// search goes the way of execve(2) and finds what is in it: at the file, its interpreter, the interpreter's loader. It returns the
// errno of a look at the file itself.
func (x *explainer) search(file string) (first syscall.Errno) {
	asked := x.who
	format := x.errno == unix.ENOEXEC || x.errno == unix.EIO || x.errno == unix.ELIBBAD // which one is the kernel's choice
	var role, argument string
	var p binfmt.Program
	for depth := range 7 { // a chain of five interpreters is what the kernel allows, then a loader
		info, errno := x.stat(file)
		if depth == 0 {
			first = errno
		}
		if errno != 0 {
			x.unreachable(file, errno)
			switch {
			case errno == unix.EACCES:
			case role == "loader":
				x.hint = x.loaderHint(file)
			case role != "":
				x.hint = x.interpreterHint(file, argument)
			}
			return first
		}
		if x.errno == unix.EACCES && x.forbidden(file, info) {
			return first
		}
		var buf [binfmt.HeadSize]byte
		head := buf[:x.read(file, buf[:], 0)]
		next := ""
		switch {
		case len(head) == 0 && x.errno == unix.ENOENT:
			x.found(" can't be read to see which interpreter or loader is missing", "", "", "")
		case binfmt.IsELF(head):
			p = binfmt.ReadELF(func(b []byte, offset int64) int { return x.read(file, b, offset) })
			here := binfmt.ThisMachine()
			switch {
			case format && p.Machine != here:
				x.found(" is built for "+p.Machine+", this machine is ", "", here, "use an image for this machine: docker build --platform linux/"+runtime.GOARCH)
			case format && p.Broken != "":
				x.found(" is ", "", p.Broken, "copy or build it anew")
			}
			role, next = "loader", p.Loader
		case binfmt.IsScript(head):
			whole := false
			role = "interpreter"
			if next, argument, whole = binfmt.ReadScript(head); !whole && format {
				x.found(" has a #! line of more than 255 bytes", "", "", "")
			}
		case format && len(head) > 0:
			x.found(" is neither a program for this machine nor a script", "", kind(head), "")
		}
		if x.why != "" {
			return first
		}
		if next == "" {
			x.who = asked // which of them it was is not known
			return first
		}
		if x.who == "it" {
			x.who = "its " + role + " " + quote(next)
		} else {
			x.who = "the " + role + " " + quote(next) + " of " + x.who
		}
		file = next
	}
	x.found(" is one script too many", "", "", "each is the interpreter of the one before")
	return first
}

// kinds are what ends up in an image by mistake.
var kinds = []string{
	"MZ, but a Windows program",
	"\xcf\xfa\xed\xfe, but a macOS program",
	"PK\x03\x04, but a zip or jar archive",
	"\x1f\x8b, but a gzip archive",
}

func kind(head []byte) string {
	for _, k := range kinds {
		if i := strings.IndexByte(k, ','); strings.HasPrefix(string(head), k[:i]) {
			return k[i:]
		}
	}
	return ""
}

// forbidden finds the reason for EACCES in what the file is, in its mode, its mount and the directories above.
func (x *explainer) forbidden(file string, info fileInfo) bool {
	switch {
	case info.mode&unix.S_IFMT == unix.S_IFDIR:
		x.found(" is a directory", "", "", "")
	case info.mode&unix.S_IFMT != unix.S_IFREG:
		x.found(" is no regular file", "", "", "")
	case info.mode&0o111 == 0:
		x.found(" is not executable (permission denied)", "", "", "chmod +x; in a Dockerfile, COPY --chmod=755; for a ConfigMap, defaultMode: 0755")
	case x.noexec(file):
		x.found(" is on a file system that is mounted noexec", "", "", "mount that with exec (docker run --tmpfs DIR:exec), or put the program elsewhere")
	case !may(x.as, info):
		x.found(fmt.Sprintf(" may not be run by uid %d (permission denied): mode %o, owner %d:%d", x.as.UID, info.mode&0o7777, info.uid, info.gid), "", "",
			"chmod a+x, or another user")
	case x.as.UID != 0:
		dir, errno := x.way(file, true)
		if errno != 0 {
			x.closed(dir)
		}
	}
	return x.why != ""
}

func (x *explainer) closed(dir string) {
	x.found(fmt.Sprintf(" can't be reached: uid %d may not search ", x.as.UID), dir, " (permission denied)", "chmod a+x on that directory, or another user")
}

// unreachable says at which part of its path a file is lost.
func (x *explainer) unreachable(file string, errno syscall.Errno) {
	dir, lost := x.way(file, false)
	target := x.readlink(file)
	switch {
	case target != "":
		x.found(" is a symbolic link to ", target, ": "+errno.Error(), "")
		return
	case errno == unix.EACCES:
		x.closed(dir)
		return
	case errno != unix.ENOENT && errno != unix.ENOTDIR:
		x.unexplained(errno, "")
		return
	}
	gone := " is not there"
	if x.who == "it" {
		x.who, gone = "", "no such file"
	}
	switch lost {
	case unix.ENOENT:
		x.found(gone+": there is no directory ", dir, "", "")
	case unix.ENOTDIR:
		x.found(gone+": ", dir, " is not a directory", "")
	default:
		x.found(gone, "", "", "")
	}
}

// unexplained is an errno that speaks for itself, or has to.
//
//go:noinline
func (x *explainer) unexplained(errno syscall.Errno, hint string) {
	who := x.who + ": "
	if x.who == "it" {
		who = ""
	}
	x.why, x.hint = who+errno.Error(), hint
}

// way goes down to a file. It returns the directory that is missing, or none, or not to be searched, and why; else the last one.
func (x *explainer) way(file string, modes bool) (dir string, errno syscall.Errno) {
	dir = "."
	for i := 0; i < len(file); i++ {
		if file[i] != '/' {
			continue
		}
		next := file[:max(i, 1)]
		info, errno := x.stat(next)
		switch {
		case errno == unix.EACCES:
			return dir, errno
		case errno != 0:
			return next, errno
		case info.mode&unix.S_IFMT != unix.S_IFDIR:
			return next, unix.ENOTDIR
		case modes && !may(x.as, info):
			return next, unix.EACCES
		}
		dir = next
	}
	return dir, 0
}
