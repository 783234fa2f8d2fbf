package supervisor

import (
	"fmt"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"usher/signals"
)

// process is what to start, and how.
type process struct {
	files     []string // tried in order, as candidates returns them
	argv, env []string
	tty       int   // the descriptor of a terminal to become the foreground group of, or -1
	session   bool  // a session of its own, and the terminal on stdin for it if that is free
	stderr    int   // of the app; 0 is usher's own
	stdio     []int // stdin, stdout and stderr, and no other descriptor; nil is usher's own, and all that was passed to usher
	mortal    bool  // SIGKILL comes when the thread that starts it ends
	inherited signals.Inherited
	as        *identity // who to run as; nil is usher's own

	noNewPrivs bool
}

// execError is a failed start after the fork: which file, and what execve(2) said.
type execError struct {
	file  string
	errno syscall.Errno
}

func (e *execError) Error() string { return fmt.Sprintf("cannot run %q: %v", e.file, e.errno) }
func (e *execError) Unwrap() error { return e.errno }

// shellError is the failed start of the shell that was to run a script without #!.
type shellError struct{ *execError }

// starting is a child of usher's on its way to become another program.
type starting struct {
	pid     int
	process *process
	child   *child
	shared  bool // it has usher's memory until then
	reportR int  // the end of a pipe that its execve(2), or its end, closes; -1 once that is known
	polled  bool // no signal says so, and the loop looks
	err     error
}

// patience is how long usher waits for a child's execve(2) before it turns to other things. It takes less than a
// millisecond where nothing holds it up.
var patience = 20 * time.Millisecond

// spawn forks a child that becomes p, in a process group of its own, looked up as execvp(3) does. Whether it has, started says.
//
// It is not syscall.ForkExec because that gives the child the mask of the calling thread (all blocked, see package signals), stops for good
// where the terminal asks for SIGTTOU (golang.org/issue/37217), can't restore ignored signals, and waits for the child's execve
// as long as that takes.
func spawn(p *process) (*starting, error) { return spawnBy((*child).fork, p) }

func spawnBy(fork func(*child) (pid int, shared bool, _ syscall.Errno), p *process) (*starting, error) {
	c, err := newChild(p)
	if err != nil {
		return nil, err
	}
	var ends [2]int
	if err := unix.Pipe2(ends[:], unix.O_CLOEXEC); err != nil {
		return nil, fmt.Errorf("cannot make a pipe: %w", err)
	}
	l := &starting{process: p, child: c, reportR: ends[0]}
	c.reportW = int32(ends[1])
	guardMemory()
	syscall.ForkLock.Lock()
	var errno syscall.Errno
	l.pid, l.shared, errno = fork(c)
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

// started waits for the child to become its program or to fail, at most for so long each, and reports whether it has done either. The child of a
// failure has been reaped then; err says which.
func (l *starting) started(within time.Duration) bool {
	return l.over(within) && (l.err == nil || l.reaped(within))
}

// reaped kills the child and waits until it can be reaped. That takes as long as a debugger likes, who may be the app: there is a moment in
// a process's end in which nothing keeps one out.
func (l *starting) reaped(within time.Duration) bool {
	_ = unix.Kill(l.pid, unix.SIGKILL) // it is on its way out
	for deadline := time.Now().Add(within); ; {
		pid, err := unix.Wait4(l.pid, nil, unix.WNOHANG, nil)
		switch {
		case pid > 0, err != nil && err != unix.EINTR:
			return true
		case time.Now().After(deadline):
			return false
		}
		_, _ = unix.Poll(nil, 1)
	}
}

// over is started for a child that the caller reaps. One that reports a failure has usher's memory, and its stack in it, until its end, which somebody
// who has stopped it can put off: so it is killed, and over is when the kernel has closed its end of the pipe, after it has let go
// of the memory.
func (l *starting) over(within time.Duration) bool {
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
		l.err = l.failed(report)
		if fds[0].Revents&unix.POLLHUP == 0 { // it is there, and has not been reaped
			_ = unix.Kill(l.pid, unix.SIGKILL)
		}
	}
	unix.Close(l.reportR)
	l.reportR = -1
	if l.shared {
		unguardMemory()
	}
	return true
}

func (l *starting) failed(report failure) error {
	errno := syscall.Errno(report.errno)
	switch report.step {
	case stepExec:
		return &execError{file: l.process.files[report.file], errno: errno}
	case stepShell:
		return &shellError{&execError{file: shell, errno: errno}}
	}
	return &dropError{step: report.step, as: l.process.as, errno: errno}
}

// guarded is how many children share usher's memory just now, and what its dumpable attribute was before (PR_SET_DUMPABLE, prctl(2)).
var guarded struct {
	children int
	dumpable uintptr
}

// guardMemory keeps others out of usher's memory by way of a child that has it and may be another user already: no tracing, and no core
// dump, which would end usher as well (before Linux 5.16).
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
