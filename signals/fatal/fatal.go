// Package fatal is what usher says where the Go runtime dies.
//
// A runtime that lacks something it needs prints a trace and ends the process with 2. Before there is an app, a line and 125 say more: what is
// missing is the container's to give (a thread, memory), and the trace is about nothing but the runtime.
package fatal

import (
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"usher/signals/entry"
)

// overrideWrite is the runtime's hook for all that it prints (runtime/time_nofake.go). It has to be set by the linker: the runtime may die
// before any Go code of usher's has run.
//
//go:linkname overrideWrite runtime.overrideWrite
var overrideWrite = died

// The first line of what the runtime prints, behind a few words of usher's.
var (
	line   [256]byte
	length int
)

// died takes the place of a write of the runtime's, which are not only to stderr: it wakes its poller with one. It may be called on any stack,
// and without a heap.
//
//go:nosplit
//go:norace
func died(fd uintptr, p unsafe.Pointer, n int32) int32 {
	if fd != 2 || entry.Running {
		r, _, errno := syscall.RawSyscall6(unix.SYS_WRITE, fd, uintptr(p), uintptr(n), 0, 0, 0)
		if errno != 0 {
			return -int32(errno)
		}
		return int32(r)
	}
	if length == 0 {
		say("usher: error: the Go runtime cannot run: ")
	}
	for i := range n {
		c := *(*byte)(unsafe.Add(p, i))
		if c == '\n' {
			end()
		}
		if length < len(line)-1 {
			line[length] = c
			length++
		}
	}
	return n
}

//go:nosplit
//go:norace
func say(s string) {
	for i := range len(s) {
		line[length] = s[i]
		length++
	}
}

// end writes the line, what may help, and ends usher.
//
//go:nosplit
//go:norace
func end() {
	line[length] = '\n'
	write(&line[0], length+1)
	hint := ""
	if thread := unsafe.String(&line[0], length); strings.HasSuffix(thread, "errno=22)") { // EINVAL of clone(2)
		hint = "usher: hint: after unshare --pid only a child can have threads: unshare --pid --fork\n"
	}
	for _, resource := range [...]uintptr{unix.RLIMIT_AS, unix.RLIMIT_DATA} {
		limit := syscall.Rlimit{Cur: unix.RLIM_INFINITY}
		syscall.RawSyscall6(unix.SYS_PRLIMIT64, 0, resource, 0, uintptr(unsafe.Pointer(&limit)), 0, 0)
		if limit.Cur != unix.RLIM_INFINITY {
			hint = "usher: hint: there is a limit of memory (ulimit -v, ulimit -d): limit the container's instead\n"
		}
	}
	write(unsafe.StringData(hint), len(hint))
	for {
		syscall.RawSyscall6(unix.SYS_EXIT_GROUP, 125, 0, 0, 0, 0, 0)
	}
}

//go:nosplit
//go:norace
func write(p *byte, n int) {
	syscall.RawSyscall6(unix.SYS_WRITE, 2, uintptr(unsafe.Pointer(p)), uintptr(n), 0, 0, 0)
}
