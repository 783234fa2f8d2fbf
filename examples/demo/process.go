package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// process is a program that the demo started, as PID 1 of a PID namespace of
// its own if that is allowed.
type process struct {
	*os.Process // Pid in the demo's PID namespace, for signals
	isolated    bool
	refused     error         // why it is not isolated
	done        chan struct{} // closed when the process has ended and its output has been read
	code        int           // valid once done: 128+n for signal n
	gone        time.Time     // valid once done
}

// start starts argv and calls line for each line of its stdout and stderr. Only
// main may call it (see init).
func start(argv []string, line func(string)) (*process, error) {
	p := &process{done: make(chan struct{})}
	outR, outW, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer outW.Close()
	command := func(attr *syscall.SysProcAttr) *exec.Cmd {
		cmd := exec.Command(argv[0], argv[1:]...)
		// The descriptor itself: with an io.Writer, Wait would also wait for
		// grandchildren that keep the pipe open.
		cmd.Stdout, cmd.Stderr = outW, outW
		cmd.SysProcAttr = attr
		return cmd
	}
	cmd := command(isolation())
	if p.refused = cmd.Start(); p.refused == nil {
		if p.isolated = isPID1(cmd.Process.Pid); !p.isolated {
			p.refused = errors.New("/proc does not show it as PID 1")
		}
	} else {
		if errno := syscall.Errno(0); errors.As(p.refused, &errno) {
			p.refused = errno // without the path, which is not the reason
		}
		// SIGTERM, not SIGKILL: a plain child that is killed leaves its own children
		// behind.
		cmd = command(&syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGTERM})
		if err := cmd.Start(); err != nil {
			outR.Close()
			return nil, fmt.Errorf("cannot start %q: %w", argv[0], err)
		}
	}
	p.Process = cmd.Process

	read := make(chan struct{})
	go func() {
		defer close(read)
		for sc := bufio.NewScanner(outR); sc.Scan(); {
			line(sc.Text())
		}
		io.Copy(io.Discard, outR) // after a line that is too long: no writer may block on the pipe
	}()
	go func() {
		cmd.Wait()
		p.gone = time.Now()
		if ws := cmd.ProcessState.Sys().(syscall.WaitStatus); ws.Signaled() {
			p.code = 128 + int(ws.Signal())
		} else {
			p.code = ws.ExitStatus()
		}
		select {
		case <-read:
		case <-time.After(time.Second): // another process holds the pipe
		}
		outR.Close()
		close(p.done)
	}()
	return p, nil
}

// isolation asks for a new PID namespace. A user other than root needs a user
// namespace for that.
//
// A session of its own keeps Ctrl-C away: the demo decides which process gets
// which signal.
func isolation() *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{
		Setsid:     true,
		Cloneflags: syscall.CLONE_NEWPID,
		Pdeathsig:  syscall.SIGKILL, // takes the whole namespace along
	}
	if uid, gid := os.Geteuid(), os.Getegid(); uid != 0 {
		attr.Cloneflags |= syscall.CLONE_NEWUSER
		attr.UidMappings = []syscall.SysProcIDMap{{ContainerID: uid, HostID: uid, Size: 1}}
		attr.GidMappings = []syscall.SysProcIDMap{{ContainerID: gid, HostID: gid, Size: 1}}
	}
	return attr
}

// isPID1 asks the kernel, so that the demo does not make a false claim.
func isPID1(pid int) bool {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(status)) {
		if pids, ok := strings.CutPrefix(line, "NSpid:"); ok {
			f := strings.Fields(pids)
			return len(f) > 1 && f[len(f)-1] == "1"
		}
	}
	return false
}

// end ends p and all processes that it started, and returns when they are gone.
func (p *process) end() {
	if p.isolated {
		p.Kill() // the kernel then kills the rest of the namespace, and done waits for that
		<-p.done
		return
	}
	// SIGTERM twice: the second one ends usher's hold.
	for _, sig := range []os.Signal{syscall.SIGTERM, syscall.SIGTERM, os.Kill} {
		p.Signal(sig)
		select {
		case <-p.done:
		case <-time.After(time.Second):
		}
	}
	<-p.done
	killSession(p.Pid)
}

// killSession kills the remaining processes of the leader's session, which
// includes the app's children.
func killSession(leader int) {
	dirs, _ := os.ReadDir("/proc")
	for _, d := range dirs {
		pid, err := strconv.Atoi(d.Name())
		if err != nil {
			continue
		}
		stat, err := os.ReadFile("/proc/" + d.Name() + "/stat")
		if err != nil {
			continue
		}
		// pid (comm) state ppid pgrp session. comm may have any characters, so look for
		// the last parenthesis.
		f := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
		if len(f) > 3 && string(f[3]) == strconv.Itoa(leader) {
			syscall.Kill(pid, syscall.SIGKILL)
		}
	}
}
