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

// intro comes before a line of the runtime's.
const intro = "usher: error: the Go runtime cannot run: "

// The line that the runtime is printing, behind intro.
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
		length = copy(line[:], intro)
	}
	for i := range n {
		c := *(*byte)(unsafe.Add(p, i))
		if c == '\n' || length < len(line)-1 {
			line[length] = c
			length++
		}
		if c != '\n' {
			continue
		}
		text := unsafe.String(&line[len(intro)], length-len(intro))
		if strings.HasPrefix(text, "fatal error: ") || strings.HasPrefix(text, "runtime: ") || strings.HasPrefix(text, "panic: ") || strings.HasPrefix(text, "futex") {
			end(text)
		}
		write(&line[len(intro)], length-len(intro)) // what GODEBUG asks for
		length = len(intro)
	}
	return n
}

// end writes the line, whose text is the runtime's, what may help, and ends usher.
//
//go:nosplit
//go:norace
func end(text string) {
	write(&line[0], length)
	hint := ""
	if strings.HasSuffix(text, "errno=22)\n") { // EINVAL of clone(2)
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
