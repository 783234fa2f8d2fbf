package supervisor

import (
	"fmt"
	"math"
	"runtime"
	"runtime/debug"

	"golang.org/x/sys/unix"

	"usher/signals"
	"usher/signals/entry"
	"usher/supervisor/memory"
)

// reserve makes the threads that usher may need. It has to be called before the app is started: a Go runtime that needs one more thread and
// can't have it (a pids limit that the app has filled, which takes it a few milliseconds) dies, and the container with it. They stay, asleep:
// one of them at a time runs Go code, the others are in system calls, so few are needed. Even a plain run writes to the log, whose reader may
// stall, while it collects garbage, of which the runtime gives some back later (signals/entry/early.h has them all). It fails as a fork does.
func reserve(threads int) error {
	switch errno := entry.Reserve(threads); errno {
	case 0:
		return nil
	case unix.ENOSYS:
	default:
		return fmt.Errorf("cannot fork: %w", errno)
	}
	threads -= 2 // that the runtime always has by now
	ready, release := make(chan struct{}), make(chan struct{})
	for range threads {
		go func() {
			signals.LockThread() // a thread for this goroutine alone, while it waits
			ready <- struct{}{}
			<-release
			signals.UnlockThread() // or the thread would end with the goroutine
		}()
	}
	for range threads {
		<-ready
	}
	close(release)
	return nil
}

// heapRoom is more memory than usher ever needs.
const heapRoom = 8 << 20

// memoryLeft reports an error where usher can't have heapRoom (ulimit -d, ulimit -v): without it the runtime would die later, and the container
// with it.
func memoryLeft() error {
	p, err := unix.MmapPtr(-1, 0, nil, heapRoom, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return fmt.Errorf("no memory is left for usher, which needs %d MB more (ulimit -v, ulimit -d): %w", heapRoom>>20, err)
	}
	return unix.MunmapPtr(p, heapRoom)
}

// GrowStack makes room on the stack for all that usher does, once: it would else be doubled, and copied, several times before the app is started.
func GrowStack()

// useCPUs says how many threads run Go code at a time. One is what the entry point has seen to (signals/entry): to change it stops all
// of them.
func useCPUs(n int) {
	if runtime.GOMAXPROCS(0) != n {
		runtime.GOMAXPROCS(n)
	}
}

// settleAfter is when usher settles: neither a start waits for it, nor the end of an app that is soon over.
const settleAfter = memory.Delay

// settle keeps the heap small, whatever GOGC and GOMEMLIMIT say, which are meant for the app: it would else grow to four megabytes
// before the first collection. With 16 percent of them it comes at 670 kB, which a run where nothing happens does not reach: a collection
// touches some 250 kB of its own.
//
// What the runtime frees it gives back to the kernel at its leisure, with a timer. Where it can't have timers, nothing is freed any more: a plain
// run makes little garbage.
func settle() {
	percent := 16
	if signals.OpenPoller() != nil {
		percent = -1
	}
	debug.SetGCPercent(percent)
	debug.SetMemoryLimit(math.MaxInt64)
}
