package supervisor

import (
	"fmt"
	"runtime"
	"syscall"

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
	stdio     []int // stdin, stdout and stderr; nil is usher's own, and the app's is all that was passed to usher
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

// spawn starts p in a process group of its own and returns its pid once it is the new program. On failure nothing is left.
//
// It is not syscall.ForkExec because that gives the child the mask of the calling thread (all blocked, see package signals),
// stops for good where the terminal asks for SIGTTOU (golang.org/issue/37217), and can't restore ignored signals. The parent
// is suspended until the child has gone through execve (CLONE_VFORK): a signal can then not reach a child that is not the app
// yet, or a group that is not there yet. Until then it has usher's memory (CLONE_VM): to copy it takes several times as long as all the
// rest.
func spawn(p *process) (int, error) {
	c, err := newChild(p)
	if err != nil {
		return 0, err
	}
	if c.as != nil {
		// With the child's user changes what is the memory's (commit_creds in the kernel's kernel/cred.c), so usher's as well.
		dumpable, _, _ := syscall.RawSyscall(unix.SYS_PRCTL, unix.PR_GET_DUMPABLE, 0, 0)
		defer unix.Prctl(unix.PR_SET_DUMPABLE, dumpable, 0, 0, 0)
	}
	syscall.ForkLock.Lock()
	pid, errno := c.fork()
	syscall.ForkLock.Unlock()
	runtime.KeepAlive(p)
	runtime.KeepAlive(c)
	if errno != 0 {
		return 0, fmt.Errorf("cannot fork: %w", errno)
	}
	failed := c.report // CLONE_VFORK: by now the child has either become the app or reported
	if failed.errno == 0 {
		return pid, nil
	}
	for {
		if _, err := unix.Wait4(pid, nil, 0, nil); err != unix.EINTR {
			break
		}
	}
	if failed.step != stepExec {
		return 0, &dropError{step: failed.step, as: p.as, errno: syscall.Errno(failed.errno)}
	}
	return 0, &execError{file: p.files[failed.file], errno: syscall.Errno(failed.errno)}
}
