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
type Process struct {
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
	process *Process
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
func spawn(p *Process) (*starting, error) { return spawnBy((*child).fork, p) }

func spawnBy(fork func(*child) (pid int, shared bool, _ syscall.Errno), p *Process) (*starting, error) {
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

// started waits for the child to become its program or to fail, at most for so long, and reports whether it has done either. The child of a
// failure has been reaped then; err says which.
func (l *starting) started(within time.Duration) bool {
	if !l.over(within) {
		return false
	}
	if l.err != nil {
		// It is on its way out, unless somebody has stopped it.
		_ = unix.Kill(l.pid, unix.SIGKILL)
		for {
			if _, err := unix.Wait4(l.pid, nil, 0, nil); err != unix.EINTR {
				break
			}
		}
	}
	return true
}

// over is started for a child that the caller reaps.
func (l *starting) over(within time.Duration) bool {
	if l.reportR < 0 {
		return true
	}
	fds := []unix.PollFd{{Fd: int32(l.reportR), Events: unix.POLLIN}}
	for deadline := time.Now().Add(within); ; within = max(0, time.Until(deadline)) {
		n, err := unix.Poll(fds, int(within.Milliseconds()))
		if n > 0 || err != nil && err != unix.EINTR {
			break
		}
		if err == nil {
			return false
		}
	}
	var report failure
	n, _ := unix.Read(l.reportR, unsafe.Slice((*byte)(unsafe.Pointer(&report)), unsafe.Sizeof(report)))
	unix.Close(l.reportR)
	l.reportR = -1
	if l.shared {
		unguardMemory()
	}
	if n > 0 {
		l.err = l.failed(report)
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
