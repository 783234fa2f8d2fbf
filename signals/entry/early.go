//go:build usher_early && (amd64 || arm64) && !race

package entry

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"usher/internal/execvp"
)

//lint:file-ignore U1000 all of it is called by early_*.s

const missingEarly = ""

// The start of the app before the Go runtime's. A plain command line, as most are, leaves usher nothing to do before the app, and nothing to
// find wrong with it: no flags, no variables of usher's, PID 1 without a terminal, no termination log of an earlier run. The app then runs
// while the runtime starts, which takes longer than all the rest.
//
// The early app cannot starve the starting runtime: the threads that the runtime will want are made before the app is, and signals wait in the
// kernel's queue. What is not as expected, a command that can't be run above all, is left to main, which begins anew.

// These are values: assembly that calls a Go function by name goes by way of g, and there is none yet. Go code that calls assembly does so
// on its return, which is why early_*.s make the threads and the child.
var (
	planFunc    = plan
	becomeFunc  = become
	startedFunc = started
)

var (
	app    command
	path   file
	failed bool
	ends   [2]int32 // of a pipe that the child's execve(2), or its end, closes
	pid    int

	noG [4]uintptr // early_*.s make it g: its stack has no end
	// childStack is the stack of the child that becomes the app: what Go functions without a stack check may use, and more.
	childStack [childStackWords]uint64
)

const childStackWords = 512

// App is the pid of the app where that has been started before the Go runtime; 0 where that is still to be done.
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
	if call(unix.SYS_RT_SIGACTION, uintptr(unix.SIGCHLD), 0, uintptr(unsafe.Pointer(&child)), unsafe.Sizeof(Mask), 0); child[0] == sigIgn {
		return false
	}
	for fd := range uintptr(3) {
		var group int32
		if _, errno := call(unix.SYS_IOCTL, fd, unix.TIOCGPGRP, uintptr(unsafe.Pointer(&group)), 0, 0); errno == 0 {
			return false
		}
	}
	// With a limit of memory there may be no runtime: nothing is started then.
	var limit unix.Rlimit
	for _, resource := range [...]uintptr{unix.RLIMIT_AS, unix.RLIMIT_DATA} {
		if _, errno := call(unix.SYS_PRLIMIT64, 0, resource, 0, uintptr(unsafe.Pointer(&limit)), 0); errno != 0 || limit.Cur != unix.RLIM_INFINITY {
			return false
		}
	}
	// Where signals can't be waited for, main says why. No signal is in that set.
	var none uint64
	var now unix.Timespec
	if _, errno := call(unix.SYS_RT_SIGTIMEDWAIT, uintptr(unsafe.Pointer(&none)), 0, uintptr(unsafe.Pointer(&now)), unsafe.Sizeof(none), 0); errno != unix.EAGAIN {
		return false
	}
	// The dead of whoever became usher: nothing would tell of them later.
	for {
		dead, errno := call(unix.SYS_WAIT4, ^uintptr(0), 0, unix.WNOHANG, 0, 0)
		if errno == unix.ECHILD || errno == 0 && dead == 0 {
			break
		}
		if errno != 0 { // main says why
			return false
		}
	}
	const log = "/dev/termination-log\x00"
	var st unix.Statx_t
	at := unix.AT_FDCWD
	_, errno := call(unix.SYS_STATX, uintptr(at), uintptr(unsafe.Pointer(unsafe.StringData(log))), 0, unix.STATX_SIZE, uintptr(unsafe.Pointer(&st)))
	if errno != unix.ENOENT && (errno != 0 || st.Size != 0) {
		return false
	}
	_, errno = call(unix.SYS_PIPE2, uintptr(unsafe.Pointer(&ends)), unix.O_CLOEXEC, 0, 0, 0)
	return errno == 0
}

// become turns the child into the app, as package supervisor's does. It has a stack of its own and usher's memory: what it writes, usher sees.
func become() {
	if isLowered {
		given.set(given.effective())
	}
	call(unix.SYS_SETPGID, 0, 0, 0, 0, 0)
	call(unix.SYS_RT_SIGPROCMASK, unix.SIG_SETMASK, uintptr(unsafe.Pointer(&Mask)), 0, unsafe.Sizeof(Mask), 0)
	if app.whole {
		app.exec(app.argv.text().first)
	} else {
		app.search()
	}
	failed = true
	for {
		call(unix.SYS_EXIT_GROUP, 127, 0, 0, 0, 0)
	}
}

// search is execvp(3), but for scripts without #!.
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
	_, errno := call(unix.SYS_EXECVE, uintptr(unsafe.Pointer(file)), uintptr(unsafe.Pointer(c.argv)), uintptr(unsafe.Pointer(c.envp)), 0, 0)
	return errno
}

// patience is how long usher waits here for the child's execve(2), which a file system can hold up for as long as it likes. In nanoseconds.
const patience = 100e6

// started takes what the parent gets: the child's pid, or a negative number. A child that has not become the app by then never
// will: main begins anew, and can do other things while it waits.
func started(child int) {
	call(unix.SYS_CLOSE, uintptr(ends[1]), 0, 0, 0, 0)
	if child > 0 {
		switch {
		case !closed(ends[0]) && !executed(uintptr(child)):
		case !failed:
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

// closed waits until the other end of a pipe is closed, and reports whether it is.
func closed(fd int32) bool {
	for {
		over, limit := unix.PollFd{Fd: fd, Events: unix.POLLIN}, unix.Timespec{Nsec: patience}
		n, errno := call(unix.SYS_PPOLL, uintptr(unsafe.Pointer(&over)), 1, uintptr(unsafe.Pointer(&limit)), 0, 0)
		if errno != unix.EINTR {
			return n == 1
		}
	}
}

// executed reports whether a child has executed its program. If not, it never will: it is killed. What tells is setpgid(2), which fails once a child
// has (EACCES). A child that executes its program between the question and the kill would be an app that had begun, and that main would start
// again. So it is stopped for the question; stopped, it executes nothing of its program. Where these calls are refused, the child is left alone.
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
