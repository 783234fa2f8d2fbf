// Package goruntime prepares the Go runtime for the life of an init: the
// runtime has all the threads that it will need before the app can take them
// away, and it stays small.
package goruntime

import (
	"fmt"
	"math"
	"runtime"
	"runtime/debug"

	"golang.org/x/sys/unix"

	"usher/signals"
	"usher/signals/entry"
)

// Reserve makes the threads that usher may need. It is called before the app is
// started. The app may fill a pids limit within milliseconds. A Go runtime that
// needs one more thread then dies, and the container with it.
//
// The threads stay, asleep. Few are needed: one at a time runs Go code, the
// others are in system calls. Even a plain run needs some at once: one collects
// garbage, one gives memory back later, and one writes to the log, whose reader
// may stall (entry.PlainThreads lists all threads). Reserve fails as a fork
// does.
func Reserve(threads int) error {
	switch errno := entry.Reserve(threads); errno {
	case 0:
		return nil
	case unix.ENOSYS, unix.ENOBUFS: // the runtime makes the threads itself, below
	default:
		return fmt.Errorf("cannot fork: %w", errno)
	}
	threads -= 2 // the runtime has at least two more by now
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

// heapRoom is more memory, in bytes, than usher ever needs.
const heapRoom = 8 << 20

// MemoryLeft returns an error if usher can't have heapRoom (ulimit -d, ulimit
// -v). Without that memory the runtime would die later, and the container with
// it.
func MemoryLeft() error {
	p, err := unix.MmapPtr(-1, 0, nil, heapRoom, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return fmt.Errorf("no memory is left for usher, which needs %d MB more (ulimit -v, ulimit -d): %w",
			heapRoom>>20, err)
	}
	return unix.MunmapPtr(p, heapRoom)
}

// GrowStack makes room on the stack for all that usher does. Without it the
// runtime would double and copy the stack several times before the app is
// started.
func GrowStack()

// UseCPUs sets how many threads run Go code at a time. The entry point
// (signals/entry) has set that to one. A change stops all threads for a moment.
func UseCPUs(n int) {
	if runtime.GOMAXPROCS(0) != n {
		runtime.GOMAXPROCS(n)
	}
}

// KeepSmall keeps the heap small, whatever GOGC and GOMEMLIMIT say: they are
// meant for the app. By default the heap would grow to four megabytes before
// the first collection. With 16 percent of that the collection comes at 670 kB,
// which a run without events does not reach. A collection itself touches some
// 250 kB.
//
// The runtime gives freed memory back to the kernel later, with a timer. If it
// can't have timers, nothing is freed any more: a plain run makes little
// garbage.
func KeepSmall() {
	percent := 16
	if signals.OpenPoller() != nil {
		percent = -1
	}
	debug.SetGCPercent(percent)
	debug.SetMemoryLimit(math.MaxInt64)
}
