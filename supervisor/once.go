package supervisor

import (
	"context"

	"golang.org/x/sys/unix"

	"usher/signals"
)

// Once runs a command for a program that is no supervisor: looked up as Run would, with this process's descriptors, in a process group of its
// own, which is killed at the end of ctx. It returns nil once the command has exited with 0; at the end of ctx the error is ctx.Err(). If the
// calling thread ends, the command does.
func Once(ctx context.Context, argv, env []string, inherited signals.Inherited) error {
	pid, err := start(&process{files: candidates(argv[0], env), argv: argv, env: env, tty: -1, mortal: true, inherited: inherited})
	if err != nil {
		return err
	}
	ended, killed := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(killed)
		select {
		case <-ended:
		case <-ctx.Done():
			_ = unix.Kill(-pid, unix.SIGKILL)
		}
	}()
	for unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil) == unix.EINTR {
	}
	close(ended)
	<-killed // until the command is reaped, the number is that group's
	var status unix.WaitStatus
	for {
		if _, err := unix.Wait4(pid, &status, 0, nil); err != unix.EINTR {
			break
		}
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return (&outcome{status: status}).failure()
}
