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

// reap collects every child that has ended, been stopped or woken, the app and orphans alike, and hands each to changed. It never
// waits. SIGCHLD coalesces, so one is enough for any number of them, and none may be left: it is the only place that calls wait. It
// reports whether there is no child any more, and an error where usher may not wait (seccomp).
func reap(changed func(change)) (childless bool, err error) {
	var status unix.WaitStatus
	var usage unix.Rusage
	for {
		pid, err := unix.Wait4(-1, &status, unix.WNOHANG|unix.WUNTRACED|unix.WCONTINUED, &usage)
		switch {
		case err == unix.EINTR:
		case err == unix.ECHILD:
			return true, nil
		case err != nil:
			return true, fmt.Errorf("cannot wait for processes: %w", err)
		case pid == 0: // none has changed
			return false, nil
		default:
			changed(change{pid, status, usage})
		}
	}
}

// exitCode is what a shell makes of a status: the code, or 128 and the signal.
func exitCode(status unix.WaitStatus) int {
	if status.Signaled() {
		return 128 + int(status.Signal())
	}
	return status.ExitStatus()
}
