package spawn

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"usher/signals"
)

// Once runs a command for a program that is no supervisor. The command is looked
// up as Candidates does, has the descriptors of this process, and is the leader of
// a process group, which is killed at the end of ctx. Once returns nil if the
// command has exited with 0, and ctx.Err() at the end of ctx. The command is
// killed if the calling thread ends.
func Once(ctx context.Context, argv, env []string, inherited signals.Inherited) error {
	l, err := Start(&Process{
		Files:         Candidates(argv[0], env),
		Argv:          argv,
		Env:           env,
		TTY:           -1,
		DieWithThread: true,
		Inherited:     inherited,
	})
	if err != nil {
		return err
	}
	ended := make(chan struct{})
	go func() {
		// WNOWAIT: until the command is reaped, its pid names its group.
		for unix.Waitid(unix.P_PID, l.PID, nil, unix.WEXITED|unix.WNOWAIT, nil) == unix.EINTR {
		}
		close(ended)
	}()
	select {
	case <-ended:
	case <-ctx.Done():
		_ = unix.Kill(-l.PID, unix.SIGKILL)
		_ = unix.Kill(l.PID, unix.SIGKILL) // the group may not exist yet
		select {
		case <-ended:
		case <-time.After(KilledTime): // it hangs in a system call
		}
		return ctx.Err()
	}
	if l.Wait(0) && l.Err != nil {
		return l.Err
	}
	var status unix.WaitStatus
	for {
		_, err := unix.Wait4(l.PID, &status, 0, nil)
		if err == nil {
			break
		}
		if err != unix.EINTR { // for instance, seccomp forbids it
			return fmt.Errorf("cannot wait for it: %w", err)
		}
	}
	return ExitError(status, "")
}

// ExitError describes in a line how a command has failed, with the last line of
// its output, if there is one. It returns nil for a command that exited with 0.
func ExitError(status unix.WaitStatus, last string) error {
	var why string
	switch {
	case status.Signaled():
		why = "killed by " + signals.Name(status.Signal())
	case status.ExitStatus() != 0:
		why = fmt.Sprintf("exit code %d", status.ExitStatus())
	default:
		return nil
	}
	if last != "" {
		why += ": " + last
	}
	return errors.New(why)
}

// KilledTime is how long the caller of a killed command waits for its end.
const KilledTime = 50 * time.Millisecond
