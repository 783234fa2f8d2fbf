package main

import (
	"fmt"
	"io"
	"os"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// peer is an init: its name, and the command to which the app's command is
// appended.
type peer struct {
	name string
	argv []string
}

// page is the memory that the app shares with bench, and writes to. app/app.c
// has the same struct.
type page struct {
	exec, first, last, signal int64
	arrived, ordered, set     uint64
}

// run is one app under one init, which is PID 1 of a PID namespace of its own.
type run struct {
	page *page
	pid  int // pid of the init
	out  int // the app's stdout
	mem  []byte
}

var environ = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}

// start starts the app under p. The calling thread is locked, and the new
// process inherits its affinity.
func start(p peer, app string, args ...string) (*run, error) {
	fd, err := unix.MemfdCreate("page", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	if err := unix.Ftruncate(fd, 4096); err != nil {
		return nil, err
	}
	r := &run{}
	if r.mem, err = unix.Mmap(fd, 0, 4096, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED); err != nil {
		return nil, err
	}
	r.page = (*page)(unsafe.Pointer(&r.mem[0]))
	var pipe [2]int
	if err := unix.Pipe2(pipe[:], unix.O_CLOEXEC); err != nil {
		return nil, err
	}
	defer unix.Close(pipe[1])
	r.out = pipe[0]
	argv := append(append([]string{app, "exec"}, p.argv...), append([]string{app}, args...)...)
	r.pid, err = syscall.ForkExec(app, argv, &syscall.ProcAttr{
		Env:   environ,
		Files: []uintptr{0, uintptr(pipe[1]), 2, uintptr(fd)},
		Sys:   &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWPID},
	})
	return r, err
}

// said waits for a byte on the app's stdout.
func (r *run) said() error {
	var b [1]byte
	for {
		n, err := unix.Read(r.out, b[:])
		if err == unix.EINTR {
			continue
		}
		if n == 0 && err == nil {
			err = io.EOF
		}
		if err != nil {
			return fmt.Errorf("the app has not answered: %w", err)
		}
		return nil
	}
}

// wait returns when the init has ended.
func (r *run) wait() (status unix.WaitStatus, at int64) {
	for {
		if _, err := unix.Wait4(r.pid, &status, 0, nil); err != unix.EINTR {
			return status, now()
		}
	}
}

// kill ends the run, whatever the app is doing.
func (r *run) kill() {
	_ = unix.Kill(r.pid, unix.SIGKILL)
	r.wait()
	r.free()
}

func (r *run) free() {
	unix.Close(r.out)
	_ = unix.Munmap(r.mem)
}

// cpu returns the processor time that a process has used, with all its threads,
// also those that have ended.
func cpu(pid int) time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|2), &ts); err != nil { // clock_getcpuclockid(3), CPUCLOCK_SCHED
		fmt.Fprintln(os.Stderr, "bench: cannot read a processor clock:", err)
	}
	return time.Duration(ts.Nano())
}

func now() int64 {
	var ts unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts)
	return ts.Nano()
}
