// Package explain finds out why a program could not be started, and what can be
// done about it.
package explain

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"usher/internal/contexts"
	"usher/internal/file"
	"usher/signals/entry"
	"usher/supervisor/exitcode"
	"usher/supervisor/spawn"
)

// Explanation says why a program could not be started.
type Explanation struct {
	Code int    // the exit code, as a shell would choose it
	Why  string // the reason
	Hint string // what to do about it; "" if usher does not know
}

// timeLimit bounds an explanation. It looks at files, and a file system may not
// answer.
const timeLimit = time.Second

// Explainer explains failed starts of programs that have the same environment and
// user.
type Explainer struct {
	Env  []string
	User *spawn.Identity // nil means usher's own
	// NoTimers says that neither timers nor goroutines can be had, so that there is
	// no time limit.
	NoTimers bool

	turn file.Turn
}

// Explain explains an error of package spawn, for a command as the caller gave
// it. It takes no longer than timeLimit. After that it uses the text of the
// error alone, and gives no better explanation until the file system has
// answered.
func (e *Explainer) Explain(command []string, err error) Explanation {
	if e.NoTimers {
		return look(command, e.Env, e.User, err)
	}
	if !e.turn.Taken() {
		ctx, cancel := contexts.WithTimeout(context.Background(), timeLimit)
		defer cancel()
		x := new(Explanation)
		if file.Within(ctx, &e.turn, func() error { *x = look(command, e.Env, e.User, err); return nil }) == nil {
			return *x
		}
	}
	return byErrno(command, err)
}

// look explains an error with a look at the files.
//
//go:noinline
func look(command, env []string, user *spawn.Identity, err error) Explanation {
	if user == nil {
		user = spawn.OwnIdentity()
	}
	entry.Raise()
	defer entry.Restore()
	x := &inquiry{disk: &realDisk, env: env, user: user}
	x.explain(command, err)
	return x.Explanation
}

// byErrno explains an error by its errno, without a look at files.
func byErrno(command []string, err error) Explanation {
	x := Explanation{Why: "cannot start " + quote(command[0]) + ": " + err.Error(), Code: exitcode.CannotRun}
	if failed, ok := err.(*spawn.ExecError); ok && failed.Errno == unix.ENOENT {
		x.Code = exitcode.NotFound
	}
	return x
}

// inquiry finds out what an errno of execve(2) does not say: which of a dozen
// possible reasons applies. It looks at the files once more, and believes the
// kernel: an obstacle that would lead to another errno is not the reason.
type inquiry struct {
	Explanation // Why is "" while no reason is found
	*disk
	env  []string
	user *spawn.Identity

	errno syscall.Errno
	who   string // the file in question, as a subject: "it", `its loader "/lib/ld.so"`
}

// found sets the reason: what the file in question is. Like other functions of
// this package it is not inlined, to keep usher small.
//
//go:noinline
func (x *inquiry) found(is, name, more, hint string) {
	if name != "" {
		name = quote(name)
	}
	x.Why, x.Hint = x.who+is+name+more, hint
}

// explain sets Why, Hint and Code for an error of package spawn.
func (x *inquiry) explain(command []string, err error) {
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
		x.Why, code = err.Error(), exitcode.Failure // fork has failed, or the change of user
		for ; err != nil; err = errors.Unwrap(err) {
			x.errno, _ = err.(syscall.Errno)
		}
		if failed, drops := failed.(*spawn.DropError); drops {
			x.Hint = dropHint(failed)
		}
	}
	x.call(command)
	x.Why, x.Code = "cannot start "+quote(name)+": "+x.Why, code
}

// noShell explains an error for a script without a #! line, if the shell can't
// be started.
func (x *inquiry) noShell(shell string) {
	x.who = `it has no #! line, and "/bin/sh"`
	x.search(shell)
	if x.Hint == "" {
		x.Hint = "begin it with #! and the path of its interpreter"
	}
}

// refused explains an error of execve(2) for file, and returns the exit code.
func (x *inquiry) refused(name, file string) int {
	code := exitcode.CannotRun
	if file != name && x.missing(file) {
		file = x.onPath(name)
	}
	if file != name {
		x.who = quote(file)
	}
	switch {
	case name == "":
		x.Why, code = "the name is empty", exitcode.NotFound
	case file == "":
		path, set := spawn.SearchPath(x.env)
		x.Why, code = "not found in PATH, "+quote(path), exitcode.NotFound
		if !set {
			x.Why += ", the default: it is not set"
		}
	default:
		if errno := x.search(file); errno == unix.ENOENT || errno == unix.ENOTDIR {
			code = exitcode.NotFound
		}
	}
	if x.Hint == "" && (code == exitcode.NotFound || x.errno == unix.ENAMETOOLONG) {
		x.Hint = x.nameHint(name)
	}
	return code
}

// onPath returns the first existing file on PATH that has the name, or "". The
// errno may be about an earlier directory. A file in a directory that may not
// be searched does not count.
func (x *inquiry) onPath(name string) string {
	for _, file := range spawn.Candidates(name, x.env) {
		if !x.missing(file) {
			return file
		}
	}
	return ""
}

// missing reports whether stat(2) fails for a file.
//
//go:noinline
func (x *inquiry) missing(file string) bool {
	_, errno := x.stat(file)
	return errno != 0
}

// call explains errors that are about the call and not about the file, and
// those that nothing on the disk explains.
func (x *inquiry) call(command []string) {
	if x.Why == "" {
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
		x.Hint = "it, or its interpreter, is open for writing: start it when whatever writes to it is done"
	case unix.ENOMEM:
		x.Hint = "the memory limit of the container or the machine is reached"
	case unix.EAGAIN:
		x.Hint = x.processLimits()
	}
}

// tooBig counts as the kernel does (execve(2), "Limits on size of arguments and
// environment"). Each string counts with its NUL and its pointer. All of them may
// take a quarter of the stack limit, and each one 32 pages.
func (x *inquiry) tooBig(command []string) {
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
	x.Hint = fmt.Sprintf("arguments and environment have %d bytes, of at most %d (a quarter of ulimit -s); "+
		"the longest, %q, has %d of %d", total, min(max(uint(x.limit(unix.RLIMIT_STACK))/4, 128<<10), 6<<20),
		longest[:min(size, 20)]+"...", size, 32*os.Getpagesize()-1)
	for _, word := range x.env {
		if strings.Contains(word, "_SERVICE_PORT=") {
			x.Hint += "; for Kubernetes' service links, enableServiceLinks: false"
			break
		}
	}
}

// processLimits lists the limits of the number of processes that are set, for the
// container and for the user.
func (x *inquiry) processLimits() string {
	hint := "no more processes are allowed"
	if n := x.pids(); n != "" {
		hint += "; the container's limit (docker run --pids-limit) is " + n
	}
	if n := x.limit(unix.RLIMIT_NPROC); n >= 0 {
		hint += "; the user's (ulimit -u, RLIMIT_NPROC) is " + strconv.Itoa(n)
	}
	return hint
}

// quote quotes a string of any length as %q does. It shortens a long one, so that
// there is room for the reason.
//
//go:noinline
func quote(s string) string {
	const most = 512
	if len(s) > most {
		s = s[:most] + "..."
	}
	return strconv.Quote(s)
}
