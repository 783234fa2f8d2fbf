//go:build usher_entry && (amd64 || arm64)

package signals

import (
	"errors"
	"fmt"
	"math"
	"runtime"
	"strings"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"usher/signals/entry"
)

// SourceName is the name of this source in the output of --version.
const SourceName = "the kernel's queue"

// kernelSource takes signals from the kernel's own queue with sigtimedwait(2).
// Nothing can be more complete: only the kernel itself coalesces signals, every
// signal comes with its siginfo, and no signal is lost, or kills usher, before
// main begins.
//
// All threads block all signals at all times. That is why there is an entry
// point: the Go runtime itself unblocks a dozen signals on every thread that it
// makes. No handler is installed, and none runs.
type kernelSource struct {
	inherited Inherited
	pid       int
	set       Set
	info      unix.Siginfo

	child  time.Time // when Wait last returned SIGCHLD
	owed   bool      // Wait still has to return a SIGCHLD
	others Set       // all signals but SIGCHLD
}

// childPause is the least time between two SIGCHLD that Wait returns. So
// orphans that end in a flood are reaped many at a time, at a third of the
// cost. Other signals don't wait for it.
const childPause = 2 * time.Millisecond

// Open returns the Source of this process. Call it once, at the beginning of
// main, on the main thread.
func Open() (Source, error) {
	if entry.Entered == 0 {
		return nil, errors.New("built with the tag usher_entry, " +
			"but linked without -E usher/signals/entry.entry: use make build")
	}
	if entry.Unverified {
		return nil, errors.New("the entry point is not verified for " + runtime.Version() +
			" (usher_entry_unverified): use make build, or see signals/entry/VERIFY.md")
	}
	s := &kernelSource{pid: unix.Getpid(), set: All(), others: All()}
	word, bit := s.others.word(unix.SIGCHLD)
	*word &^= bit
	if s.pid <= 0 { // a filter of system calls; in kill(2), 0 and -1 stand for many processes
		return nil, errors.New("cannot find its own pid")
	}
	if entry.Unblocked != 0 {
		return nil, fmt.Errorf("cannot block signals: rt_sigprocmask: %w", unix.Errno(-entry.Unblocked))
	}
	// A filter of system calls may refuse the call that usher waits with. If entry
	// has started the app, it has tried that call.
	if entry.App() == 0 {
		if _, errno := s.next(new(Set), &unix.Timespec{}); errno != unix.EAGAIN {
			return nil, fmt.Errorf("cannot wait for signals: rt_sigtimedwait: %w", errno)
		}
	}
	s.inherited = Inherited{Mask: entry.Mask}
	if entry.NoFile.Max > 0 { // otherwise it could not be read
		s.inherited.NoFile = &entry.NoFile
	}
	if ignored(unix.SIGCHLD) {
		// The kernel would reap usher's children itself, and their statuses would be
		// lost (wait(2), NOTES).
		s.inherited.Ignored.Add(unix.SIGCHLD)
		unignore(unix.SIGCHLD)
	}
	return s, nil
}

// settings is the number of variables that entry adds to the environment.
const settings = 2

// Environ returns the environment that the process was started with.
func Environ() []string {
	env := rawEnviron()
	if entry.Entered == 0 {
		return env
	}
	env = env[:len(env)-settings]
	for i := range env {
		// The strings lie one after the other in memory, so the byte before a complete
		// one is a NUL.
		before := *(*byte)(unsafe.Add(unsafe.Pointer(entry.Env[i]), -1))
		if before == 'G' && strings.HasPrefix(env[i], "O") {
			env[i] = "G" + env[i]
		}
	}
	return env
}

// Default restores the signal mask that usher was started with, so that signals
// act on usher as on any program. It also restores the process's limit of
// descriptors. It is for the modes in which usher is no init (--probe, --plan).
// The calling goroutine has to be locked to its thread.
func Default() {
	SetMask((*Set)(&entry.Mask), nil)
	if entry.NoFile.Max > 0 {
		_ = unix.Prlimit(0, unix.RLIMIT_NOFILE, &entry.NoFile, nil)
	}
}

// Unhandle resets every signal that has a handler, for a forked child. That is
// SIGCHLD, if Interrupt has been called.
//
//go:nosplit
//go:norace
func Unhandle() {
	if handlingSig[unix.SIGCHLD] != 0 {
		unignore(unix.SIGCHLD)
	}
}

// unignore gives sig its default action.
//
//go:nosplit
//go:norace
func unignore(sig Signal) {
	var a action
	a[actionHandler] = sigDfl
	syscall.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(sig), uintptr(unsafe.Pointer(&a)), 0, unsafe.Sizeof(Set{}), 0, 0)
}

// siginfo is the part of siginfo_t that kill(2) and sigqueue(3) fill in, on a
// 64-bit machine.
type siginfo struct {
	signo, errno, code, _ int32
	pid                   int32
	uid                   uint32
}

// si_code values of asm-generic/siginfo.h.
const (
	siQueue  = -1
	siKernel = 0x80
)

func (s *kernelSource) Wait(timeout time.Duration) (Event, bool) {
	if !s.owed {
		e, ok := s.wait(&s.set, timeout)
		if !ok || e.Signal != unix.SIGCHLD {
			return e, ok
		}
		s.owed = true
	}
	if pause := childPause - time.Since(s.child); pause > 0 {
		if e, ok := s.wait(&s.others, pause); ok {
			return e, ok
		}
	}
	s.child, s.owed = time.Now(), false
	return Event{Signal: unix.SIGCHLD}, true
}

// wait waits for a signal of the set.
func (s *kernelSource) wait(set *Set, timeout time.Duration) (Event, bool) {
	var deadline time.Time
	if timeout >= 0 {
		deadline = time.Now().Add(timeout)
	}
	for {
		var ts *unix.Timespec
		if timeout >= 0 {
			t := unix.NsecToTimespec(int64(timeout))
			ts = &t
		}
		switch sig, errno := s.next(set, ts); errno {
		case 0:
			if e, ok := s.event(sig); ok {
				return e, true
			}
		case unix.EAGAIN:
			return Event{}, false
		case unix.EINTR: // a debugger, SIGSTOP and SIGCONT
		default: // it has worked before, and may again; until then the loop looks around slowly
			_, _ = unix.Poll(nil, failedPause)
			return Event{Signal: unix.SIGCHLD}, true
		}
		// After EINTR, or a signal from usher itself, wait for the rest of the timeout.
		if timeout >= 0 {
			timeout = max(0, time.Until(deadline))
		}
	}
}

// failedPause is the pause, in milliseconds, after waiting for signals has
// failed.
const failedPause = 10

// next is sigtimedwait(2). It stores the details of the signal in s.info.
func (s *kernelSource) next(set *Set, timeout *unix.Timespec) (Signal, unix.Errno) {
	n, _, errno := unix.Syscall6(unix.SYS_RT_SIGTIMEDWAIT, uintptr(unsafe.Pointer(set)),
		uintptr(unsafe.Pointer(&s.info)), uintptr(unsafe.Pointer(timeout)), unsafe.Sizeof(*set), 0, 0)
	return Signal(n), errno
}

// event makes an Event of s.info. It returns false for a signal that usher has
// sent itself, such as the SIGPIPE or SIGXFSZ of a write of its own that
// failed.
func (s *kernelSource) event(sig Signal) (Event, bool) {
	si := (*siginfo)(unsafe.Pointer(&s.info))
	switch {
	case sig == unix.SIGCHLD:
		return Event{Signal: sig}, true
	case int(si.pid) == s.pid && si.code <= 0:
		return Event{}, false
	}
	sender := Sender{Known: true, PID: int(si.pid), UID: int(si.uid), Kernel: si.code == siKernel}
	e := Event{Signal: sig, Sender: sender}
	if si.code == siQueue {
		e.queued, e.info = true, s.info
	}
	return e, true
}

func (s *kernelSource) Wake() {
	// kill(2) cannot fail for want of room: a signal below 32 is then sent without
	// its siginfo.
	_ = unix.Kill(s.pid, unix.SIGCHLD)
}

func (s *kernelSource) Inherited() Inherited { return s.inherited }

// resend is rt_sigqueueinfo(2). The kernel accepts a siginfo with any sender
// from any process, if si_code is SI_QUEUE.
func resend(pid int, sig Signal, info *unix.Siginfo) error {
	if pid > math.MaxInt32 {
		return unix.ESRCH
	}
	_, _, errno := unix.Syscall(unix.SYS_RT_SIGQUEUEINFO, uintptr(pid), uintptr(sig), uintptr(unsafe.Pointer(info)))
	if errno != 0 {
		return errno
	}
	return nil
}
