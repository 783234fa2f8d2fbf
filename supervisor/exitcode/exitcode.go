// Package exitcode names the exit codes that usher gives by itself, and turns
// the status of a process into one. The values are those of the shells,
// timeout(1) and tini.
package exitcode

import "golang.org/x/sys/unix"

const (
	// Unhealthy is for an app that usher has stopped because it was unhealthy,
	// and that has exited with 0 then.
	Unhealthy = 1
	// TimedOut is for a hook that has taken too long.
	TimedOut = 124
	// Failure is for a failure of usher itself, or a wrong command line.
	Failure = 125
	// CannotRun is for a command that was found but can't be run.
	CannotRun = 126
	// NotFound is for a command that was not found.
	NotFound = 127
)

// Of returns the exit code that a shell makes of a status: the code of a
// process that has exited, or 128 and the number of the signal that killed it.
func Of(status unix.WaitStatus) int {
	if status.Signaled() {
		return 128 + int(status.Signal())
	}
	return status.ExitStatus()
}
