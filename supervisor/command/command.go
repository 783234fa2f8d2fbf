// Package command runs commands beside the app: hooks, and checks that are
// programs. The loop starts and reaps them like all other children, so that no
// status is lost. Each command is a process group of its own and has the app's
// environment and user. Its stdin is empty, and its stdout and stderr are a
// pipe to usher.
package command

import (
	"golang.org/x/sys/unix"

	"usher/supervisor/exitcode"
	"usher/supervisor/explain"
	"usher/supervisor/spawn"
)

// Command is a command that runs beside the app.
type Command struct {
	// Name is the name under which the output goes to the log; "" keeps it from
	// there.
	Name string
	Argv []string
	// Done is called once, on the loop, when the command has ended.
	Done func(*Outcome)

	pid      int // 0 before the start and after the end
	starting *spawn.Starting
	output   *output
}

// kind returns what the log calls c.
func (c *Command) kind() string {
	if c.Name == "" {
		return "check"
	}
	return c.Name
}

// Kill kills c and its process group. It may only be called on the loop: until
// c is reaped there, the pid belongs to that group.
func (c *Command) Kill() {
	if c.pid != 0 {
		_ = unix.Kill(-c.pid, unix.SIGKILL)
		_ = unix.Kill(c.pid, unix.SIGKILL) // it may have left its group
	}
}

// Outcome is the end of a command, or of a request.
type Outcome struct {
	Err    error           // a failed start (*StartError), or the error of a request
	Status unix.WaitStatus // if there was a command
	Last   string          // the last line of its output that is not blank
}

// Failure says in a line why the command has failed, with the last line of its
// output. It is nil if the command exited with 0.
func (o *Outcome) Failure() error {
	if o.Err != nil {
		return o.Err
	}
	return spawn.ExitError(o.Status, o.Last)
}

// Code returns usher's exit code if the outcome is fatal: the exit code of a
// command, as a shell has it, or 1 for a request.
func (o *Outcome) Code() int {
	switch err := o.Err.(type) {
	case nil:
		return exitcode.Of(o.Status)
	case *StartError:
		return err.Code
	}
	return 1
}

// StartError says why a command could not be started.
type StartError struct{ explain.Explanation }

func (e *StartError) Error() string { return e.Why }
