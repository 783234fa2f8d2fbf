// Package spawn starts programs: it forks, sets up the child's user, groups,
// signals, terminal and descriptors, and executes the program as execvp(3) does.
package spawn

import (
	"fmt"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"usher/signals"
)

// Process describes a program to start.
type Process struct {
	// Files are tried in order, as Candidates returns them.
	Files     []string
	Argv, Env []string
	// TTY is the descriptor of a terminal whose foreground group the process
	// becomes, or -1.
	TTY int
	// Session makes the process the leader of a new session. The terminal on stdin
	// becomes the controlling terminal, if it belongs to no session.
	Session bool
	// Stderr is the descriptor that becomes stderr; 0 means usher's own stderr.
	Stderr int
	// Stdio are the descriptors that become stdin, stdout and stderr; the process
	// gets no others then. Nil means usher's own, and all that was passed to usher.
	Stdio []int
	// DieWithThread makes the kernel kill the process (SIGKILL) when the thread
	// that starts it ends.
	DieWithThread bool
	// Inherited is the signal mask, and more, that the process gets.
	Inherited signals.Inherited
	// User is the user to run as; nil means usher's own.
	User *Identity
	// NoNewPrivs sets no_new_privs (prctl(2)).
	NoNewPrivs bool
}

// ExecError names the file that could not be executed, and the error of
// execve(2).
type ExecError struct {
	File  string
	Errno syscall.Errno
}

func (e *ExecError) Error() string { return fmt.Sprintf("cannot run %q: %v", e.File, e.Errno) }
func (e *ExecError) Unwrap() error { return e.Errno }

// ShellError reports that /bin/sh, which should have run a script without a #!
// line, could not be executed.
type ShellError struct{ *ExecError }

// Starting is a child that is about to execute its program.
type Starting struct {
	PID int
	// Err is the failure, once Wait or WaitAndReap has returned true.
	Err error

	process *Process
	child   *child
	shared  bool // the child shares usher's memory until it executes its program
	polled  bool // no signal comes when the child has executed its program or failed to
	reportR int  // reading end of a pipe that execve(2) or the child's end closes; then -1
}

// Patience is how long usher waits for a child's execve(2) before it turns to
// other things. Usually execve returns in less than a millisecond.
const Patience = 20 * time.Millisecond

// Start forks a child that executes p in a process group of its own. It does not
// wait for the execve(2): see WaitAndReap.
//
// It does not use syscall.ForkExec for four reasons. The child would get the mask
// of the calling thread, in which all signals are blocked. It would stop for good
// where the terminal sends SIGTTOU (golang.org/issue/37217). Ignored signals could
// not be restored. And the call would wait for the execve, as long as that takes.
func Start(p *Process) (*Starting, error) { return startBy((*child).fork, p) }

func startBy(fork func(*child) (pid int, shared bool, _ syscall.Errno), p *Process) (*Starting, error) {
	c, err := newChild(p)
	if err != nil {
		return nil, err
	}
	var ends [2]int
	if err := unix.Pipe2(ends[:], unix.O_CLOEXEC); err != nil {
		return nil, fmt.Errorf("cannot make a pipe: %w", err)
	}
	l := &Starting{process: p, child: c, reportR: ends[0]}
	c.reportW = int32(ends[1])
	guardMemory()
	syscall.ForkLock.Lock()
	var errno syscall.Errno
	l.PID, l.shared, errno = fork(c)
	syscall.ForkLock.Unlock()
	unix.Close(ends[1])
	if !l.shared {
		unguardMemory()
	}
	if errno != 0 {
		unix.Close(l.reportR)
		return nil, fmt.Errorf("cannot fork: %w", errno)
	}
	return l, nil
}

// WaitAndReap waits until the child has executed its program or has failed to,
// and reports whether it has done either. A child that has failed is reaped,
// and Err is set. Each of the two waits takes at most the given time.
func (l *Starting) WaitAndReap(within time.Duration) bool {
	return l.Wait(within) && (l.Err == nil || l.reap(within))
}

// reap kills the child, which is about to exit, and waits until it can be
// reaped. A debugger can delay that, and the app may be one: when a process
// ends, the kernel lets debuggers attach to it again.
func (l *Starting) reap(within time.Duration) bool {
	_ = unix.Kill(l.PID, unix.SIGKILL)
	for deadline := time.Now().Add(within); ; {
		pid, err := unix.Wait4(l.PID, nil, unix.WNOHANG, nil)
		switch {
		case pid > 0, err != nil && err != unix.EINTR:
			return true
		case time.Now().After(deadline):
			return false
		}
		_, _ = unix.Poll(nil, 1)
	}
}

// Wait does the same as WaitAndReap for a caller that reaps the child itself.
//
// A child that reports a failure shares usher's memory until its end, which a
// SIGSTOP could delay. So Wait kills the child, and is done when the kernel has
// closed the child's end of the pipe: before that it has released the memory.
func (l *Starting) Wait(within time.Duration) bool {
	if l.reportR < 0 {
		return true
	}
	for deadline := time.Now().Add(within); ; within = max(0, time.Until(deadline)) {
		fds := [...]unix.PollFd{{Fd: int32(l.reportR), Events: unix.POLLIN}}
		n, err := unix.Poll(fds[:], int(within.Milliseconds()))
		switch {
		case err == unix.EINTR:
			continue
		case err == nil && n == 0:
			return false
		}
		var report failure
		n, err = unix.Read(l.reportR, unsafe.Slice((*byte)(unsafe.Pointer(&report)), unsafe.Sizeof(report)))
		switch err {
		case unix.EINTR:
			continue
		case unix.EAGAIN: // poll has failed
			return false
		}
		if n <= 0 {
			break
		}
		l.Err = l.failed(report)
		if fds[0].Revents&unix.POLLHUP == 0 { // the child still exists, so its number is its own
			_ = unix.Kill(l.PID, unix.SIGKILL)
		}
	}
	unix.Close(l.reportR)
	l.reportR = -1
	if l.shared {
		unguardMemory()
	}
	return true
}

// notify asks the kernel to tell this process, whose pid is self, with SIGCHLD
// that the child has executed its program or failed to. It returns true if either
// has happened already.
func (l *Starting) notify(self int) bool {
	asked, err := signals.NotifyReadable(l.reportR, self)
	l.polled = !asked || err != nil
	return l.WaitAndReap(0) // it may have happened just before usher asked
}

// Continue resumes a child that was stopped before it had executed its program.
// Only an attacker does that.
func (l *Starting) Continue() { _ = unix.Kill(l.PID, unix.SIGCONT) }

func (l *Starting) failed(report failure) error {
	errno := syscall.Errno(report.errno)
	switch report.step {
	case stepExec:
		return &ExecError{File: l.process.Files[report.file], Errno: errno}
	case stepShell:
		return &ShellError{&ExecError{File: shell, Errno: errno}}
	}
	return &DropError{Step: report.step, User: l.process.User, Errno: errno}
}

// guarded counts the children that share usher's memory at present, and keeps
// usher's dumpable attribute from before (PR_SET_DUMPABLE, prctl(2)).
var guarded struct {
	children int
	dumpable uintptr
}

// guardMemory protects usher's memory while a child shares it that may run as
// another user already. No other process may trace the child, and the child
// dumps no core, which would end usher as well (before Linux 5.16).
func guardMemory() {
	if guarded.children == 0 {
		guarded.dumpable, _, _ = syscall.RawSyscall(unix.SYS_PRCTL, unix.PR_GET_DUMPABLE, 0, 0)
		_ = unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0)
	}
	guarded.children++
}

func unguardMemory() {
	guarded.children--
	if guarded.children == 0 {
		_ = unix.Prctl(unix.PR_SET_DUMPABLE, guarded.dumpable, 0, 0, 0)
	}
}
