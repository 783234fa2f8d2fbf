package supervisor

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// change is what has become of a child.
type change struct {
	pid    int
	status unix.WaitStatus
	usage  unix.Rusage // of the child, and of its own as far as it has waited for them
}

// waitTries is how often reap tries where it may not wait.
const waitTries = 3

// reap collects every child that has ended, been stopped or woken, the app and orphans alike, and hands each to changed. It never
// waits. SIGCHLD coalesces, so one is enough for any number of them, and none may be left: it is the only place that calls wait. It
// reports whether there is no child any more, and an error where usher may not wait (seccomp).
func reap(changed func(change)) (childless bool, err error) {
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
		case pid == 0: // none has changed
			return false, nil
		case status.Stopped() && untrace(pid, status.StopSignal()):
		default:
			changed(change{pid, status, usage})
		}
	}
}

// untrace ends it where a child has made usher its debugger (PTRACE_TRACEME; ptrace(2)), as some do to keep others away: each of its signals would
// stop it, for a debugger to look at, and usher is none. The child goes on with the signal. It reports false for a child that is not
// traced.
func untrace(pid int, sig unix.Signal) bool {
	if sig == unix.SIGTRAP { // execve(2) has stopped it
		sig = 0
	}
	_, _, errno := unix.RawSyscall6(unix.SYS_PTRACE, unix.PTRACE_DETACH, uintptr(pid), 0, uintptr(sig), 0, 0)
	return errno == 0
}
