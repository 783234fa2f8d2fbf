//go:build usher_threads && (amd64 || arm64) && !race

package entry

import (
	"sync/atomic"
	"syscall"
)

//lint:file-ignore U1000 threads_*.s use what Go code does not

const missingThreads = ""

// slots is the largest number that package supervisor asks for: 9, one for an
// explanation, two for the termination log, and internal/file.MaxCalls, which a
// dead file system can block.
const slots = 28

// slot is a thread that waits for work: whether there is work for it, and the
// arguments of runtime·clone, which are the work.
type slot struct {
	given       uint32
	stk, gp, fn uintptr
}

var (
	waiting  [slots]slot
	reserved int32 // number of threads that were ever put into waiting
	taken    int32 // how many of these were given work
	made     int32 // number of further threads that the Go runtime has made, besides its first one
)

// Reserve makes threads that wait until the Go runtime needs one more, so that
// it can have n besides its first one. The runtime dies if it needs a thread
// and can't get one. These threads are cheaper than those that the runtime
// makes itself.
//
// Reserve fails as clone(2) does, with ENOBUFS if there is no room for that
// many, and with ENOSYS in a build without this layer. With these two errors it
// has made none.
func Reserve(n int) syscall.Errno {
	return syscall.Errno(-reserve(int32(n) - atomic.LoadInt32(&made)))
}

// reserve makes threads until their number has reached total. It returns 0 or a
// negative errno, and needs no Go runtime.
func reserve(total int32) int32
