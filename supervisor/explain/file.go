package explain

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

// Permissions, as bits of a mode (inode(7)).
const (
	mayRun  = 1
	mayRead = 4
)

// may reports whether the mode gives the user a permission. It ignores
// capabilities.
func may(user *spawn.Identity, what uint32, f fileInfo) bool {
	shift := 0
	switch {
	case f.uid == user.UID:
		shift = 6
	case f.gid == user.GID || slices.Contains(user.Groups, f.gid):
		shift = 3
	}
	return f.mode>>shift&what != 0
}

// search follows the steps of execve(2), and looks for the reason at the file,
// at its interpreter, and at the interpreter's loader. It returns the errno of
// stat(2) for the file itself.
func (x *inquiry) search(file string) (first syscall.Errno) {
	asked := x.who
	var role, argument string
	for depth := range 7 { // the kernel allows a chain of five interpreters, then a loader
		info, errno := x.stat(file)
		if depth == 0 {
			first = errno
		}
		if errno != 0 {
			x.unreachable(file, errno)
			switch {
			case errno == unix.EACCES:
			case role == "loader":
				x.Hint = x.loaderHint(file)
			case role != "":
				x.Hint = x.interpreterHint(file, argument)
			}
			return first
		}
		if x.errno == unix.EACCES && x.forbidden(file, info) {
			return first
		}
		role, file, argument = x.inspect(file)
		switch {
		case x.Why != "":
			return first
		case file == "":
			x.who = asked // no file on the way is known to be the reason
			return first
		case x.who == "it":
			x.who = "its " + role + " " + quote(file)
		default:
			x.who = "the " + role + " " + quote(file) + " of " + x.who
		}
	}
	x.found(" is one script too many", "", "", "each is the interpreter of the one before")
	return first
}

// inspect looks for the reason in the content of a file. If it finds none, it
// returns the file that the kernel opens next, the role of that file, and the
// argument that a #! line gives it.
func (x *inquiry) inspect(file string) (role, next, argument string) {
	// The kernel chooses between these errnos.
	format := x.errno == unix.ENOEXEC || x.errno == unix.EIO || x.errno == unix.ELIBBAD
	var buf [binfmt.HeadSize]byte
	head := buf[:x.read(x.user, file, buf[:], 0)]
	switch {
	case len(head) == 0 && x.errno == unix.ENOENT:
		x.found(" can't be read to see which interpreter or loader is missing", "", "", "")
	case binfmt.IsELF(head):
		p := binfmt.ReadELF(func(b []byte, offset int64) int { return x.read(x.user, file, b, offset) })
		here := binfmt.ThisMachine()
		switch {
		case format && p.Machine != here:
			x.found(" is built for "+p.Machine+", this machine is ", "", here,
				"use an image for this machine: docker build --platform linux/"+runtime.GOARCH)
		case format && p.Broken != "":
			x.found(" is ", "", p.Broken, "copy or build it again")
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
	return role, next, argument
}

// kinds are formats of files that end up in an image by mistake.
var kinds = []struct{ magic, name string }{
	{"MZ", "a Windows program"},
	{"\xcf\xfa\xed\xfe", "a macOS program"},
	{"PK\x03\x04", "a zip or jar archive"},
	{"\x1f\x8b", "a gzip archive"},
}

// kind returns the end of a sentence that names the format of a file, if it is
// known.
func kind(head []byte) string {
	for _, k := range kinds {
		if strings.HasPrefix(string(head), k.magic) {
			return ", but " + k.name
		}
	}
	return ""
}

// forbidden looks for the reason for EACCES: the type of the file, its mode, its
// mount, or the directories above it.
func (x *inquiry) forbidden(file string, info fileInfo) bool {
	switch {
	case info.mode&unix.S_IFMT == unix.S_IFDIR:
		x.found(" is a directory", "", "", "")
	case info.mode&unix.S_IFMT != unix.S_IFREG:
		x.found(" is no regular file", "", "", "")
	case info.mode&0o111 == 0:
		x.found(" is not executable (permission denied)", "", "",
			"chmod +x; in a Dockerfile, COPY --chmod=755; for a ConfigMap, defaultMode: 0755")
	case x.noexec(file):
		x.found(" is on a file system that is mounted noexec", "", "",
			"mount that with exec (docker run --tmpfs DIR:exec), or put the program elsewhere")
	case !may(x.user, mayRun, info):
		x.found(fmt.Sprintf(" may not be run by uid %d (permission denied): mode %o, owner %d:%d",
			x.user.UID, info.mode&0o7777, info.uid, info.gid), "", "", "chmod a+x, or another user")
	case x.user.UID != 0:
		dir, errno := x.walk(file, true)
		if errno != 0 {
			x.closed(dir)
		}
	}
	return x.Why != ""
}

// closed sets the reason for a directory that the user may not search.
func (x *inquiry) closed(dir string) {
	x.found(fmt.Sprintf(" can't be reached: uid %d may not search ", x.user.UID), dir, " (permission denied)",
		"chmod a+x on that directory, or another user")
}

// unreachable finds the part of its path at which a file can't be reached.
func (x *inquiry) unreachable(file string, errno syscall.Errno) {
	dir, lost := x.walk(file, false)
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

// unexplained gives the errno itself as the reason.
//
//go:noinline
func (x *inquiry) unexplained(errno syscall.Errno, hint string) {
	who := x.who + ": "
	if x.who == "it" {
		who = ""
	}
	x.Why, x.Hint = who+errno.Error(), hint
}

// walk goes down the path of a file. It returns the first directory that is
// missing, is no directory, or may not be searched, and the errno for that. If
// there is none, it returns the last directory and 0.
func (x *inquiry) walk(file string, modes bool) (dir string, errno syscall.Errno) {
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
		case modes && !may(x.user, mayRun, info):
			return next, unix.EACCES
		}
		dir = next
	}
	return dir, 0
}
