//go:build usher_entry && (amd64 || arm64) && !race

package entry

import (
	"sync/atomic"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The start of the app before the Go runtime's. A plain command line, as most are, leaves usher nothing to do before the app, and nothing to
// find wrong with it: no flags, no variables of usher's, PID 1 without a terminal, no termination log of an earlier run. The app then runs
// while the runtime starts, which takes longer than all the rest.
//
// It can do nothing to that: the threads that the runtime will want are made before it (early_*.s), and signals wait in the kernel's queue. What
// is not as expected, a command that can't be run above all, is left to main, which begins anew.

//lint:file-ignore U1000 all of it is called by early_*.s

// Go functions, as values: assembly that calls them by name goes by way of g, and there is none yet.
var (
	planFunc    = plan
	becomeFunc  = become
	startedFunc = started
	refusedFunc = refused
)

var (
	app    command
	path   file
	failed bool
	ends   [2]int32 // of a pipe that the child's execve(2), or its end, closes
)

func call(trap, a1, a2, a3, a4, a5 uintptr) (uintptr, syscall.Errno) {
	r, _, errno := syscall.RawSyscall6(trap, a1, a2, a3, a4, a5, 0)
	return r, errno
}

// plan reports whether the app can be started now.
func plan(argc *word) bool {
	Lower()
	if self, _ := call(unix.SYS_GETPID, 0, 0, 0, 0, 0); self != 1 || Unblocked != 0 || !app.read(argc) {
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
	if app.path.first == nil {
		app.exec(app.argv.text().first)
	} else {
		app.search()
	}
	failed = true
	for {
		call(unix.SYS_EXIT_GROUP, 127, 0, 0, 0, 0)
	}
}

// search is execvp(3).
func (c *command) search() {
	for directories := c.path; directories.first != nil; {
		var ok bool
		if directories, ok = c.candidate(directories, &path); !ok {
			return
		}
		switch c.exec(&path.bytes[0]) {
		case unix.ENOENT, unix.ENOTDIR, unix.ESTALE, unix.ENODEV, unix.ETIMEDOUT, unix.EACCES:
		default:
			return
		}
	}
}

func (c *command) exec(file *byte) syscall.Errno {
	_, errno := call(unix.SYS_EXECVE, uintptr(unsafe.Pointer(file)), uintptr(unsafe.Pointer(c.argv)), uintptr(unsafe.Pointer(c.envp)), 0, 0)
	return errno
}

// refused is where the Go runtime can't have one more thread, after as many tries as it has, and would die: with a trace, and with 2.
//
//go:nosplit
func refused() {
	const say = "usher: error: no more threads are allowed: the limit of processes is full (of the container, or the user's: ulimit -u)\n"
	stderr, now := unix.PollFd{Fd: 2, Events: unix.POLLOUT}, unix.Timespec{}
	// Its reader may have stalled, in a full container above all. While the limit of descriptors is 0, there is no poll.
	n, errno := call(unix.SYS_PPOLL, uintptr(unsafe.Pointer(&stderr)), 1, uintptr(unsafe.Pointer(&now)), 0, 0)
	if n == 1 || errno != 0 {
		call(unix.SYS_WRITE, 2, uintptr(unsafe.Pointer(unsafe.StringData(say))), uintptr(len(say)), 0, 0)
	}
	for {
		call(unix.SYS_EXIT_GROUP, 125, 0, 0, 0, 0)
	}
}

// patience is how long usher waits here for the child's execve(2), which a file system can hold up for as long as it likes. In nanoseconds.
const patience = 100e6

// started takes what the parent gets: the child's pid, or a negative number. A child that has not become the app by then never
// will: main begins anew, and can do other things while it waits.
func started(child int) {
	call(unix.SYS_CLOSE, uintptr(ends[1]), 0, 0, 0, 0)
	if child > 0 {
		begun := false
		for {
			over, limit := unix.PollFd{Fd: ends[0], Events: unix.POLLIN}, unix.Timespec{Nsec: patience}
			n, errno := call(unix.SYS_PPOLL, uintptr(unsafe.Pointer(&over)), 1, uintptr(unsafe.Pointer(&limit)), 0, 0)
			if errno != unix.EINTR {
				begun = n == 1
				break
			}
		}
		switch {
		case !begun:
			call(unix.SYS_KILL, uintptr(child), uintptr(unix.SIGKILL), 0, 0, 0)
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

// Reserve makes threads that wait until the Go runtime wants one more, so that it can have n besides its first one, at most 28: it dies if it
// can't have one. Theirs is a lower price than of those that it makes itself. It fails as clone(2) does, and with ENOSYS where there is no
// entry point of our own.
func Reserve(n int) syscall.Errno {
	return syscall.Errno(-reserve(int32(n) - atomic.LoadInt32(&made)))
}
