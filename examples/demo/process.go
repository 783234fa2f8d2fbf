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

// process is a program that the demo started, as PID 1 of a PID namespace of its own where that is allowed.
type process struct {
	*os.Process // Pid as the demo sees it: the one to signal
	isolated    bool
	refused     error         // why it is not isolated
	done        chan struct{} // closed when it is gone and its output has been read
	code        int           // valid once done: 128+n for signal n
	gone        time.Time     // valid once done
}

// start starts argv, whose stdout and stderr go to line. Only main may call it, see init.
func start(argv []string, line func(string)) (*process, error) {
	p := &process{done: make(chan struct{})}
	outR, outW, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer outW.Close()
	command := func(attr *syscall.SysProcAttr) *exec.Cmd {
		cmd := exec.Command(argv[0], argv[1:]...)
		// The very descriptor: with an io.Writer, Wait would also wait for grandchildren that keep the pipe open.
		cmd.Stdout, cmd.Stderr = outW, outW
		cmd.SysProcAttr = attr
		return cmd
	}
	cmd := command(isolation())
	if p.refused = cmd.Start(); p.refused == nil {
		if p.isolated = isPID1(cmd.Process.Pid); !p.isolated {
			p.refused = errors.New("or so /proc says")
		}
	} else {
		if errno := syscall.Errno(0); errors.As(p.refused, &errno) {
			p.refused = errno // all of it would name the path, which is not the trouble
		}
		// Asked to stop, not killed: a plain child that is killed leaves its own children behind.
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
		io.Copy(io.Discard, outR) // after a line that was too long: nobody is to block on the pipe
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
		case <-time.After(time.Second): // somebody else holds the pipe
		}
		outR.Close()
		close(p.done)
	}()
	return p, nil
}

// isolation asks for a new PID namespace; who is not root may ask for that in a user namespace of his own only.
//
// A session of its own keeps Ctrl-C away: the demo decides who gets which signal.
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

// isPID1 asks the kernel, so that the demo claims nothing that is not so.
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

// end leaves nothing of p running, and returns once that is so.
func (p *process) end() {
	if p.isolated {
		p.Kill() // the kernel kills the rest, and lets us wait for that
		<-p.done
		return
	}
	// TERM twice: the second one ends usher's hold.
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

// killSession kills what is left of the session that leader began: the app's own children share it.
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
		// pid (comm) state ppid pgrp session: comm may hold anything, so the last parenthesis counts.
		f := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
		if len(f) > 3 && string(f[3]) == strconv.Itoa(leader) {
			syscall.Kill(pid, syscall.SIGKILL)
		}
	}
}
