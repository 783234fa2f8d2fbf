package supervisor

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"usher/signals"
)

// Once runs a command for a program that is no supervisor: looked up as Run would, with this process's descriptors, in a process group of its
// own, which is killed at the end of ctx. It returns nil once the command has exited with 0; at the end of ctx the error is ctx.Err(). If the
// calling thread ends, the command does.
func Once(ctx context.Context, argv, env []string, inherited signals.Inherited) error {
	l, err := spawn(&Process{files: candidates(argv[0], env), argv: argv, env: env, tty: -1, mortal: true, inherited: inherited})
	if err != nil {
		return err
	}
	ended := make(chan struct{})
	go func() {
		// Until the command is reaped, the number is its group's.
		for unix.Waitid(unix.P_PID, l.pid, nil, unix.WEXITED|unix.WNOWAIT, nil) == unix.EINTR {
		}
		close(ended)
	}()
	select {
	case <-ended:
	case <-ctx.Done():
		_ = unix.Kill(-l.pid, unix.SIGKILL)
		_ = unix.Kill(l.pid, unix.SIGKILL) // it may not have a group yet
		select {
		case <-ended:
		case <-time.After(killedTime): // the kernel does not let go of it
		}
		return ctx.Err()
	}
	if l.over(0) && l.err != nil {
		return l.err
	}
	var status unix.WaitStatus
	for {
		_, err := unix.Wait4(l.pid, &status, 0, nil)
		if err == nil {
			break
		}
		if err != unix.EINTR { // a filter of system calls, for instance
			return fmt.Errorf("cannot wait for it: %w", err)
		}
	}
	return (&outcome{status: status}).failure()
}
