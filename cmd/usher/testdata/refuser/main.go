//go:build linux && amd64

// Refuser runs a program as PID 1 of a PID namespace of its own and refuses it a system call: each time, or once. It sees the calls of the program's
// own threads, and of the children that it makes up to their execve(2); what these then run is left alone. It reports all the calls.
//
//	refuser -report FILE [-execs N] [-call NUMBER -errno NUMBER [-child] [-nth N]] -- PROGRAM ARGS...
package main

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

var (
	report = flag.String("report", "", "where to report")
	call   = flag.Int("call", -1, "the call to refuse")
	errno  = flag.Int("errno", 0, "the error it gets")
	child  = flag.Bool("child", false, "refuse it to children before execve, not to the program")
	nth    = flag.Int("nth", 0, "refuse only this one; 0 is all")
	execs  = flag.Int("execs", 0, "begin when the program has become another so often, as a shell script ends")
)

// thread is a traced thread.
type thread struct {
	child   bool // of the program, and not yet another
	known   bool // its maker has been seen
	begun   bool // its first stop has been
	refused bool // the call at hand
}

type kind struct {
	child bool
	call  int
}

func main() {
	flag.Parse()
	runtime.LockOSThread() // a tracer is a thread
	pid, err := syscall.ForkExec(flag.Arg(0), flag.Args(), &syscall.ProcAttr{
		Env:   os.Environ(),
		Files: []uintptr{0, 1, 2},
		Sys:   &syscall.SysProcAttr{Ptrace: true, Cloneflags: syscall.CLONE_NEWPID | syscall.CLONE_NEWNS, Unshareflags: syscall.CLONE_NEWNS},
	})
	check(err)
	var ws unix.WaitStatus
	_, err = unix.Wait4(pid, &ws, unix.WALL, nil) // stopped by execve
	check(err)
	check(unix.PtraceSetOptions(pid, unix.PTRACE_O_TRACESYSGOOD|unix.PTRACE_O_TRACECLONE|unix.PTRACE_O_TRACEFORK|unix.PTRACE_O_TRACEVFORK|
		unix.PTRACE_O_TRACEEXEC|unix.PTRACE_O_EXITKILL))
	threads := map[int]*thread{pid: {known: true, begun: true}}
	counts := map[kind]int{}
	check(unix.PtraceSyscall(pid, 0))
	for {
		var usage unix.Rusage
		tid, err := unix.Wait4(-1, &ws, unix.WALL, &usage)
		if err == unix.EINTR {
			continue
		}
		check(err)
		t := threads[tid]
		if t == nil {
			t = &thread{}
			threads[tid] = t
		}
		switch {
		case ws.Exited() || ws.Signaled():
			delete(threads, tid)
			if tid == pid {
				end(ws, usage, counts)
			}
		case !ws.Stopped():
		case ws.StopSignal() == unix.SIGTRAP|0x80:
			t.stop(tid, counts)
			resume(tid, 0)
		case ws.StopSignal() == unix.SIGTRAP && ws.TrapCause() > 0:
			switch ws.TrapCause() {
			case unix.PTRACE_EVENT_CLONE, unix.PTRACE_EVENT_FORK, unix.PTRACE_EVENT_VFORK:
				message, _ := unix.PtraceGetEventMsg(tid)
				made := threads[int(message)]
				if made == nil {
					made = &thread{}
					threads[int(message)] = made
				}
				made.known, made.child = true, t.child || ws.TrapCause() != unix.PTRACE_EVENT_CLONE
				if made.begun { // and waits
					resume(int(message), 0)
				}
			case unix.PTRACE_EVENT_EXEC:
				if t.child {
					delete(threads, tid)
					_ = unix.PtraceDetach(tid)
					continue
				}
				clear(counts)
				*execs--
			}
			resume(tid, 0)
		case !t.begun:
			if t.begun = true; t.known {
				resume(tid, 0)
			}
		default:
			if !t.child && faulted(tid, ws.StopSignal()) {
				// As PID 1 it would survive that, over and over, while it is traced (force_sig_info in the kernel).
				ws = unix.WaitStatus(ws.StopSignal())
				_ = unix.Kill(pid, unix.SIGKILL)
				end(ws, usage, counts)
			}
			resume(tid, ws.StopSignal())
		}
	}
}

// stop is where a call begins or ends.
func (t *thread) stop(tid int, counts map[kind]int) {
	// struct ptrace_syscall_info (ptrace(2)), as far as it is wanted.
	var info struct {
		op   uint8
		_    [7]uint8
		_    [2]uint64
		call uint64
		_    [7]uint64
	}
	if _, _, e := unix.Syscall6(unix.SYS_PTRACE, unix.PTRACE_GET_SYSCALL_INFO, uintptr(tid), unsafe.Sizeof(info), uintptr(unsafe.Pointer(&info)), 0, 0); e != 0 {
		return
	}
	switch {
	case info.op == unix.PTRACE_SYSCALL_INFO_ENTRY:
		k := kind{t.child, int(info.call)}
		counts[k]++
		if *execs <= 0 && int(info.call) == *call && t.child == *child && (*nth == 0 || counts[k] == *nth) {
			t.refused = true
			set(tid, func(r *unix.PtraceRegs) { r.Orig_rax = ^uint64(0) })
		}
	case info.op == unix.PTRACE_SYSCALL_INFO_EXIT && t.refused:
		t.refused = false
		set(tid, func(r *unix.PtraceRegs) { r.Rax = uint64(-int64(*errno)) })
	}
}

// faulted reports whether a thread has a signal from the kernel, for what it has done itself.
func faulted(tid int, sig unix.Signal) bool {
	var info struct {
		_, _, code int32
		_          [29]int32
	}
	switch sig {
	case unix.SIGSEGV, unix.SIGBUS, unix.SIGILL, unix.SIGFPE, unix.SIGTRAP:
		_, _, e := unix.Syscall6(unix.SYS_PTRACE, unix.PTRACE_GETSIGINFO, uintptr(tid), 0, uintptr(unsafe.Pointer(&info)), 0, 0)
		return e == 0 && info.code > 0
	}
	return false
}

func set(tid int, change func(*unix.PtraceRegs)) {
	var r unix.PtraceRegs
	if unix.PtraceGetRegs(tid, &r) == nil {
		change(&r)
		_ = unix.PtraceSetRegs(tid, &r)
	}
}

// resume goes on with a thread, which may have been killed meanwhile.
func resume(tid int, sig unix.Signal) {
	if err := unix.PtraceSyscall(tid, int(sig)); err != unix.ESRCH {
		check(err)
	}
}

func end(ws unix.WaitStatus, usage unix.Rusage, counts map[kind]int) {
	var b strings.Builder
	for k, n := range counts {
		fmt.Fprintf(&b, "%t %d %d\n", k.child, k.call, n)
	}
	code := ws.ExitStatus()
	if ws.Signaled() {
		code = 128 + int(ws.Signal())
	}
	fmt.Fprintf(&b, "cpu %d\n", (usage.Utime.Nano()+usage.Stime.Nano())/1e6)
	check(os.WriteFile(*report, []byte(b.String()), 0o644))
	os.Exit(code)
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "refuser:", err)
		os.Exit(99)
	}
}
