package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// maxOutput is the length, in bytes, of the end of a command's output that is
// kept.
const maxOutput = 4096

// tail keeps the end of what is written to it.
type tail struct{ b []byte }

func (t *tail) Write(p []byte) (int, error) {
	t.b = append(t.b, p...)
	t.b = t.b[max(0, len(t.b)-maxOutput):]
	return len(p), nil
}

// last returns the last line that is not blank.
func (t *tail) last() string {
	b := bytes.TrimSpace(t.b)
	return string(b[bytes.LastIndexByte(b, '\n')+1:])
}

// killedTime is how long execute waits for a killed command, to read its last
// line of output.
const killedTime = 200 * time.Millisecond

// execute runs a command and kills its process group at the end of ctx. It
// returns soon after that, even if the kernel does not: looking up the command,
// and its execve(2), take as long as the file system needs. Such a command dies
// with usher-check.
func execute(ctx context.Context, argv []string) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // the end of this thread kills the command
		done <- runCommand(ctx, argv)
		runtime.UnlockOSThread()
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	select {
	case err := <-done:
		return err
	case <-time.After(killedTime):
		return ctx.Err()
	}
}

func runCommand(ctx context.Context, argv []string) error {
	var out tail
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 100 * time.Millisecond // background processes may hold the pipe open
	err := cmd.Run()
	if errors.Is(err, exec.ErrWaitDelay) {
		err = nil
	}
	var exit *exec.ExitError
	reason := ""
	switch {
	case ctx.Err() != nil:
		err = ctx.Err()
		reason = err.Error()
	case errors.As(err, &exit) && exit.Exited():
		reason = fmt.Sprintf("exit code %d", exit.ExitCode())
	case errors.As(err, &exit):
		reason = fmt.Sprintf("killed by %v", exit.Sys().(syscall.WaitStatus).Signal())
	default:
		return err
	}
	if last := out.last(); last != "" {
		reason += ": " + last
	}
	if ctx.Err() != nil {
		return fmt.Errorf("%w%s", err, strings.TrimPrefix(reason, err.Error()))
	}
	return errors.New(reason)
}
