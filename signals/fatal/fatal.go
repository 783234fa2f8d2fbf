// Package fatal reports that the Go runtime dies.
//
// A runtime that lacks a resource prints a trace and ends the process with 2.
// Before the app has started, one line and exit code 125 say more: the
// container has to provide the resource (a thread, memory), and the trace only
// shows the runtime's own code.
package fatal

import (
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"usher/signals/entry"
)

// overrideWrite is the runtime's hook for everything that it prints
// (runtime/time_nofake.go). The linker has to set it, because the runtime may
// die before any Go code of usher's has run.
//
//go:linkname overrideWrite runtime.overrideWrite
var overrideWrite = died

// intro precedes a line of the runtime's.
const intro = "usher: error: the Go runtime cannot run: "

// The line that the runtime is printing, after intro.
var (
	line   [256]byte
	length int
)

// noThread is how the runtime begins where it can't have one more thread. It dies
// of that at any time, and the fault is not usher's own.
const noThread = "runtime: failed to create new OS thread"

// died replaces the runtime's write(2). The runtime writes not only to stderr:
// it also wakes its poller by a write. died may be called on any stack, and
// without a heap.
//
//go:nosplit
//go:norace
func died(fd uintptr, p unsafe.Pointer, n int32) int32 {
	piece := unsafe.String((*byte)(p), n)
	if fd != 2 || entry.Running && length == 0 && !strings.HasPrefix(piece, noThread) {
		r, _, errno := syscall.RawSyscall6(unix.SYS_WRITE, fd, uintptr(p), uintptr(n), 0, 0, 0)
		if errno != 0 {
			return -int32(errno)
		}
		return int32(r)
	}
	if length == 0 {
		length = copy(line[:], intro)
	}
	for i := range len(piece) {
		c := piece[i]
		if c == '\n' || length < len(line)-1 {
			line[length] = c
			length++
		}
		if c != '\n' {
			continue
		}
		text := unsafe.String(&line[len(intro)], length-len(intro))
		if strings.HasPrefix(text, "fatal error: ") || strings.HasPrefix(text, "runtime: ") ||
			strings.HasPrefix(text, "panic: ") || strings.HasPrefix(text, "futex") {
			end(text)
		}
		write(&line[len(intro)], length-len(intro)) // GODEBUG has asked for it
		length = len(intro)
	}
	return n
}

// end writes the runtime's line and a hint, and ends usher. text is the line
// without intro.
//
//go:nosplit
//go:norace
func end(text string) {
	write(&line[0], length)
	hint := ""
	switch { // errors of clone(2)
	case strings.HasSuffix(text, "errno=11)\n"): // EAGAIN
		hint = "usher: hint: the limit of processes is full: the container's, or the user's (ulimit -u)\n"
	case strings.HasSuffix(text, "errno=22)\n"): // EINVAL
		hint = "usher: hint: after unshare --pid only a child can have threads: use unshare --pid --fork\n"
	}
	for _, resource := range [...]uintptr{unix.RLIMIT_AS, unix.RLIMIT_DATA} {
		limit := syscall.Rlimit{Cur: unix.RLIM_INFINITY}
		syscall.RawSyscall6(unix.SYS_PRLIMIT64, 0, resource, 0, uintptr(unsafe.Pointer(&limit)), 0, 0)
		if limit.Cur != unix.RLIM_INFINITY {
			hint = "usher: hint: there is a limit of memory (ulimit -v, ulimit -d): " +
				"limit the container's memory instead\n"
		}
	}
	write(unsafe.StringData(hint), len(hint))
	for {
		syscall.RawSyscall6(unix.SYS_EXIT_GROUP, 125, 0, 0, 0, 0, 0)
	}
}

// write leaves out what stderr has no room for: its reader may have stalled, and
// usher has to end.
//
//go:nosplit
//go:norace
func write(p *byte, n int) {
	stderr, now := unix.PollFd{Fd: 2, Events: unix.POLLOUT}, unix.Timespec{}
	// While the limit of descriptors is 0, there is no poll.
	ready, _, errno := syscall.RawSyscall6(unix.SYS_PPOLL, uintptr(unsafe.Pointer(&stderr)), 1,
		uintptr(unsafe.Pointer(&now)), 0, 0, 0)
	if ready == 0 && errno == 0 {
		return
	}
	syscall.RawSyscall6(unix.SYS_WRITE, 2, uintptr(unsafe.Pointer(p)), uintptr(n), 0, 0, 0)
}
