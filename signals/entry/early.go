//go:build usher_early && (amd64 || arm64) && !race

package entry

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"usher/internal/execvp"
)

//lint:file-ignore U1000 early_*.s call all of it

const missingEarly = ""

// usher starts the app before the Go runtime if the command line is plain, as
// most are. Then usher has nothing to do before the app, and can find nothing
// wrong: there are no flags, none of usher's variables, no termination log of
// an earlier run, and usher is PID 1 without a terminal. The app runs while the
// runtime starts, which takes longer than everything else.
//
// The app cannot starve the starting runtime: the threads that the runtime will
// need are made before the app, and signals wait in the kernel's queue. In any
// other case main starts the app, from the beginning: above all where the
// command cannot be run.

// These functions are values because assembly that calls a Go function by its
// name goes through g, and there is no g yet. Nor may Go code here call
// assembly: on return it would take g from thread-local storage. So early_*.s,
// and not this file, make the threads and the child.
var (
	planFunc    = plan
	becomeFunc  = become
	startedFunc = started
)

var (
	app        command
	path       file
	execFailed bool
	ends       [2]int32 // of a pipe that closes when the child executes its program or ends
	pid        int

	noG [4]uintptr // early_*.s use it as g; its stackguard0 of 0 means that the stack has no limit
	// childStack is the stack of the child that becomes the app. It has more room
	// than Go functions without a stack check may use.
	childStack [childStackWords]uint64
)

const childStackWords = 512

// App returns the pid of the app if it was started before the Go runtime. It
// returns 0 if main has to start it.
func App() int { return pid }

func call(trap, a1, a2, a3, a4, a5 uintptr) (uintptr, syscall.Errno) {
	r, _, errno := syscall.RawSyscall6(trap, a1, a2, a3, a4, a5, 0)
	return r, errno
}

// plan reports whether the app can be started now.
func plan(argc *word) bool {
	Lower()
	if self, _ := call(unix.SYS_GETPID, 0, 0, 0, 0, 0); Unverified || self != 1 || Unblocked != 0 || !app.read(argc) {
		return false
	}
	const sigIgn = 1
	var child [8]uintptr // struct sigaction, which begins with the handler
	call(unix.SYS_RT_SIGACTION, uintptr(unix.SIGCHLD), 0, uintptr(unsafe.Pointer(&child)), unsafe.Sizeof(Mask), 0)
	if child[0] == sigIgn {
		return false
	}
	for fd := range uintptr(3) {
		var group int32
		_, errno := call(unix.SYS_IOCTL, fd, unix.TIOCGPGRP, uintptr(unsafe.Pointer(&group)), 0, 0)
		if errno == 0 {
			return false
		}
	}
	// With a memory limit the runtime may fail to start, and nothing may be started
	// then.
	var limit unix.Rlimit
	for _, resource := range [...]uintptr{unix.RLIMIT_AS, unix.RLIMIT_DATA} {
		_, errno := call(unix.SYS_PRLIMIT64, 0, resource, 0, uintptr(unsafe.Pointer(&limit)), 0)
		if errno != 0 || limit.Cur != unix.RLIM_INFINITY {
			return false
		}
	}
	// This waits for no signal at all, only to see whether signals can be waited
	// for. If not, main reports why.
	var none uint64
	var now unix.Timespec
	_, errno := call(unix.SYS_RT_SIGTIMEDWAIT,
		uintptr(unsafe.Pointer(&none)), 0, uintptr(unsafe.Pointer(&now)), unsafe.Sizeof(none), 0)
	if errno != unix.EAGAIN {
		return false
	}
	// Reap the children of the program that executed usher and that have exited
	// already: no SIGCHLD will report them later.
	for {
		dead, errno := call(unix.SYS_WAIT4, ^uintptr(0), 0, unix.WNOHANG, 0, 0)
		if errno == unix.ECHILD || errno == 0 && dead == 0 {
			break
		}
		if errno != 0 { // main reports why
			return false
		}
	}
	const log = "/dev/termination-log\x00"
	var st unix.Statx_t
	at := unix.AT_FDCWD
	_, errno = call(unix.SYS_STATX,
		uintptr(at), uintptr(unsafe.Pointer(unsafe.StringData(log))), 0, unix.STATX_SIZE, uintptr(unsafe.Pointer(&st)))
	if errno != unix.ENOENT && (errno != 0 || st.Size != 0) {
		return false
	}
	_, errno = call(unix.SYS_PIPE2, uintptr(unsafe.Pointer(&ends)), unix.O_CLOEXEC, 0, 0, 0)
	return errno == 0
}

// become turns the child into the app, as package supervisor/spawn does it. The
// child has a stack of its own and shares usher's memory: usher sees what the
// child writes there.
func become() {
	if isLowered {
		given.set(given.effective())
	}
	call(unix.SYS_SETPGID, 0, 0, 0, 0, 0)
	call(unix.SYS_RT_SIGPROCMASK, unix.SIG_SETMASK, uintptr(unsafe.Pointer(&Mask)), 0, unsafe.Sizeof(Mask), 0)
	if app.hasSlash {
		app.exec(app.argv.text().first)
	} else {
		app.search()
	}
	execFailed = true
	for {
		call(unix.SYS_EXIT_GROUP, 127, 0, 0, 0, 0)
	}
}

// search does what execvp(3) does, except for scripts without #!.
func (c *command) search() {
	var search execvp.Failure
	for directories, more := c.path, true; more; {
		var ok bool
		if directories, more, ok = c.candidate(directories, &path); !ok || !search.Next(c.exec(&path.bytes[0]), 0) {
			return
		}
	}
}

func (c *command) exec(file *byte) syscall.Errno {
	_, errno := call(unix.SYS_EXECVE,
		uintptr(unsafe.Pointer(file)), uintptr(unsafe.Pointer(c.argv)), uintptr(unsafe.Pointer(c.envp)), 0, 0)
	return errno
}

// patience is the longest wait, in nanoseconds, for the child's execve(2),
// which a file system can delay for as long as it likes.
const patience = 100e6

// started gets what clone(2) returned in the parent: the child's pid, or a
// negative errno. If the child has not become the app by the end of patience,
// it never will: main starts the app, and can do other things while it waits.
func started(child int) {
	call(unix.SYS_CLOSE, uintptr(ends[1]), 0, 0, 0, 0)
	if child > 0 {
		switch {
		case !closed(ends[0]) && !executed(uintptr(child)):
		case !execFailed:
			pid = child
		default:
			for {
				if _, errno := call(unix.SYS_WAIT4, uintptr(child), 0, 0, 0, 0); errno != unix.EINTR {
					break
				}
			}
		}
	}
	call(unix.SYS_CLOSE, uintptr(ends[0]), 0, 0, 0, 0)
}

// closed waits, for the time of patience, until the other end of a pipe is
// closed, and reports whether it is.
func closed(fd int32) bool {
	for {
		over, limit := unix.PollFd{Fd: fd, Events: unix.POLLIN}, unix.Timespec{Nsec: patience}
		n, errno := call(unix.SYS_PPOLL, uintptr(unsafe.Pointer(&over)), 1, uintptr(unsafe.Pointer(&limit)), 0, 0)
		if errno != unix.EINTR {
			return n == 1
		}
	}
}

// executed reports whether a child has executed its program, and kills a child
// that has not. setpgid(2) tells: it fails with EACCES once the child has.
//
// A child that executed its program between the question and the kill would be
// an app that has begun, and that main would start again. So the child is
// stopped before the question is asked again: a stopped process executes
// nothing of its program. If the kernel refuses these calls, the child is left
// alone.
func executed(child uintptr) bool {
	for _, sig := range [...]uintptr{0, uintptr(unix.SIGSTOP), uintptr(unix.SIGKILL)} {
		_, refused := call(unix.SYS_KILL, child, sig, 0, 0, 0)
		if _, errno := call(unix.SYS_SETPGID, child, child, 0, 0, 0); errno != 0 || refused != 0 {
			call(unix.SYS_KILL, child, uintptr(unix.SIGCONT), 0, 0, 0)
			return true
		}
	}
	return false
}
