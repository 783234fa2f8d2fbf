package process

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Change is a change of a child's state: it has ended, been stopped or resumed.
type Change struct {
	PID    int
	Status unix.WaitStatus
	Usage  unix.Rusage // of the child and of those of its children that it has waited for
}

// waitTries is the number of times that Reap calls wait4(2) if that fails.
const waitTries = 3

// Reap collects all changes of children, of the app and of orphans alike, and
// hands each to changed, which may be nil. It never waits. SIGCHLD coalesces,
// so one signal may stand for any number of changes, and Reap must leave none.
// In the life of the app it is the only function that waits for children. It
// reports whether there are no children left, and an error if usher is not
// allowed to wait (seccomp).
func Reap(changed func(Change)) (childless bool, err error) {
	var status unix.WaitStatus
	var usage unix.Rusage
	for tries := 0; ; {
		pid, err := unix.Wait4(-1, &status, unix.WNOHANG|unix.WUNTRACED|unix.WCONTINUED, &usage)
		switch {
		case err == unix.EINTR:
		case err == unix.ECHILD:
			return true, nil
		case err != nil:
			if tries++; tries == waitTries {
				return false, fmt.Errorf("cannot wait for processes: %w", err)
			}
		case pid == 0: // no child has changed
			return false, nil
		case status.Stopped() && untrace(pid, status.StopSignal()):
		case changed != nil:
			changed(Change{pid, status, usage})
		}
	}
}

// untrace detaches usher from a child that has made it its debugger
// (PTRACE_TRACEME; ptrace(2)), as some programs do to keep debuggers away. Each
// signal would stop such a child until its debugger lets it go on. After untrace
// the child goes on and gets the signal. It returns false for a child that is not
// traced.
func untrace(pid int, sig unix.Signal) bool {
	if sig == unix.SIGTRAP { // execve(2) has stopped the child
		sig = 0
	}
	_, _, errno := unix.RawSyscall6(unix.SYS_PTRACE, unix.PTRACE_DETACH, uintptr(pid), 0, uintptr(sig), 0, 0)
	return errno == 0
}
