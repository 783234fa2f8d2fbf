//go:build usher_threads && (amd64 || arm64) && !race

package entry

import (
	"sync/atomic"
	"syscall"
)

//lint:file-ignore U1000 threads_*.s use the rest

const missingThreads = ""

// slots is the most that package supervisor asks for: 9, one for an explanation, two for the termination log, and internal/file.MaxCalls that a
// dead file system can hold.
const slots = 28

// slot is a thread that waits for its work: whether that is there, and what runtime·clone is given.
type slot struct {
	given       uint32
	stk, gp, fn uintptr
}

var (
	waiting  [slots]slot
	reserved int32 // how many threads there have been in waiting
	taken    int32 // how many of these have got some work
	made     int32 // how many threads the Go runtime has made besides its first one and those
)

// Reserve makes threads that wait until the Go runtime wants one more, so that it can have n besides its first one: it dies if it can't have one.
// Theirs is a lower price than of those that it makes itself. It fails as clone(2) does; with ENOBUFS, where it can't keep so many, and
// with ENOSYS, in a build without this layer, it has made none.
func Reserve(n int) syscall.Errno {
	return syscall.Errno(-reserve(int32(n) - atomic.LoadInt32(&made)))
}

// reserve makes threads until there have been so many. It returns 0 or a negative errno, and needs no Go runtime.
func reserve(total int32) int32
