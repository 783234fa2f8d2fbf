package supervisor

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"usher/supervisor/exitcode"
	"usher/supervisor/spawn"
)

// explainer finds out what an errno of execve(2) does not say: which of the dozen reasons for it is the one at hand. It looks at the
// files once more and believes the kernel: an obstacle that would make for another errno is not the one.
type explainer struct {
	*disk
	env []string        // the app's
	as  *spawn.Identity // the app's

	errno syscall.Errno
	who   string // the file in question, in a sentence: "it", `its loader "/lib/ld.so"`
	why   string // the finding; "" while there is none
	hint  string // what to do about it; "" where usher has no idea
	code  int    // usher's exit code
}

// unexplained is what the error says by itself.
func unexplained(command []string, err error) *explainer {
	x := &explainer{why: "cannot start " + quote(command[0]) + ": " + err.Error(), code: exitcode.CannotRun}
	if failed, ok := err.(*spawn.ExecError); ok && failed.Errno == unix.ENOENT {
		x.code = exitcode.NotFound
	}
	return x
}

// found is the answer: what the file in question is. Inlined, it and its like would cost usher 3 kB.
//
//go:noinline
func (x *explainer) found(is, name, more, hint string) {
	if name != "" {
		name = quote(name)
	}
	x.why, x.hint = x.who+is+name+more, hint
}

// explain takes the command as it was given and an error of spawn. What it finds is in x.
func (x *explainer) explain(command []string, err error) {
	name, code := command[0], exitcode.CannotRun
	x.who = "it"
	switch failed := err.(type) {
	case *spawn.ExecError:
		x.errno = failed.Errno
		code = x.refused(name, failed.File)
	case *spawn.ShellError:
		x.errno = failed.Errno
		x.noShell(failed.File)
	default:
		x.why, code = err.Error(), exitcode.Failure // fork's, or that of becoming another user
		for ; err != nil; err = errors.Unwrap(err) {
			x.errno, _ = err.(syscall.Errno)
		}
		if failed, drops := failed.(*spawn.DropError); drops {
			x.hint = dropHint(failed)
		}
	}
	x.call(command)
	x.why, x.code = "cannot start "+quote(name)+": "+x.why, code
}

// noShell is for a script without #! that there is no shell for.
func (x *explainer) noShell(shell string) {
	x.who = `it has no #! line, and "/bin/sh"`
	x.search(shell)
	if x.hint == "" {
		x.hint = "begin it with #! and the path of its interpreter"
	}
}

// refused is for an error of execve(2), about file.
func (x *explainer) refused(name, file string) int {
	code := exitcode.CannotRun
	if file != name && x.missing(file) {
		file = x.onPath(name)
	}
	if file != name {
		x.who = quote(file)
	}
	switch {
	case name == "":
		x.why, code = "the name is empty", exitcode.NotFound
	case file == "":
		path, set := spawn.SearchPath(x.env)
		x.why, code = "not found in PATH, "+quote(path), exitcode.NotFound
		if !set {
			x.why += ", the default: it is not set"
		}
	default:
		if errno := x.search(file); errno == unix.ENOENT || errno == unix.ENOTDIR {
			code = exitcode.NotFound
		}
	}
	if x.hint == "" && (code == exitcode.NotFound || x.errno == unix.ENAMETOOLONG) {
		x.hint = x.nameHint(name)
	}
	return code
}

// onPath is the first file of that name that is there, for an errno that tells of the first that is not; "" if none is. A directory
// on PATH that may not be searched is no find.
func (x *explainer) onPath(name string) string {
	for _, file := range spawn.Candidates(name, x.env) {
		if !x.missing(file) {
			return file
		}
	}
	return ""
}

// missing is about whether a look at a file fails.
//
//go:noinline
func (x *explainer) missing(file string) bool {
	_, errno := x.stat(file)
	return errno != 0
}

// call is for errors that are not the file's but the call's, and for those that nothing on the disk accounts for.
func (x *explainer) call(command []string) {
	if x.why == "" {
		hint := ""
		switch x.errno {
		case unix.EACCES:
			hint = "modes and mounts allow it: SELinux or AppArmor may not, or a capability is missing"
		case unix.EPERM:
			hint = "a file capability (getcap) may need docker run --cap-add, or seccomp, SELinux or AppArmor forbid it"
		}
		x.unexplained(x.errno, hint)
	}
	switch x.errno {
	case unix.E2BIG:
		x.tooBig(command)
	case unix.ETXTBSY:
		x.hint = "it, or its interpreter, is open for writing: start it when whatever writes to it is done"
	case unix.ENOMEM:
		x.hint = "the memory limit of the container or the machine is reached"
	case unix.EAGAIN:
		x.hint = x.processLimits()
	}
}

// tooBig counts as the kernel does (execve(2), "Limits on size of arguments and environment"): each string with its NUL and its
// pointer, all of it in a quarter of the stack limit, and each in 32 pages.
func (x *explainer) tooBig(command []string) {
	total, longest := 0, ""
	for _, words := range [2][]string{command, x.env} {
		for _, word := range words {
			total += len(word) + 1 + strconv.IntSize/8
			if len(word) > len(longest) {
				longest = word
			}
		}
	}
	size := len(longest)
	x.hint = fmt.Sprintf("arguments and environment have %d bytes, of at most %d (a quarter of ulimit -s); the longest, %q, has %d of %d",
		total, min(max(uint(x.limit(unix.RLIMIT_STACK))/4, 128<<10), 6<<20), longest[:min(size, 20)]+"...", size, 32*os.Getpagesize()-1)
	for _, word := range x.env {
		if strings.Contains(word, "_SERVICE_PORT=") {
			x.hint += "; for Kubernetes' service links, enableServiceLinks: false"
			break
		}
	}
}

// processLimits are those that are set, of the container and of the user.
func (x *explainer) processLimits() string {
	hint := "no more processes are allowed"
	if n := x.pids(); n != "" {
		hint += "; the container's limit (docker run --pids-limit) is " + n
	}
	if n := x.limit(unix.RLIMIT_NPROC); n >= 0 {
		hint += "; the user's (ulimit -u, RLIMIT_NPROC) is " + strconv.Itoa(n)
	}
	return hint
}

// quote is %q for what may be as long as it likes: the reason has to find room behind it.
//
//go:noinline
func quote(s string) string {
	const most = 512
	if len(s) > most {
		s = s[:most] + "..."
	}
	return strconv.Quote(s)
}
