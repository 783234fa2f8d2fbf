package supervisor

import (
	"math"
	"runtime"
	"runtime/debug"
)

// threads are what usher keeps in reserve: for the log, whose reader may stall, for the endpoints and the checks. A tail takes one more.
const threads = 3

// reserve makes the threads that usher may need, before there is an app that can keep it from having them.
//
// A Go runtime that needs one more thread and can't have it (a pids limit that the app has filled) dies, and the container with it. They
// stay, asleep: one of them at a time runs Go code, the others are in system calls, so few are needed.
func reserve(threads int) {
	ready, release := make(chan struct{}), make(chan struct{})
	for range threads {
		go func() {
			runtime.LockOSThread() // a thread for this goroutine alone, while it waits
			ready <- struct{}{}
			<-release
			runtime.UnlockOSThread() // or the thread would end with the goroutine
		}()
	}
	for range threads {
		<-ready
	}
	close(release)
}

// settle makes the Go runtime fit for a life as PID 1. It is called when the app has been started, beside the app's own start. procs is how
// many threads run Go code at a time.
//
// The heap is kept small, whatever GOGC and GOMEMLIMIT say, which are meant for the app: it would else grow to four megabytes before
// the first collection.
func settle(procs int) {
	runtime.GOMAXPROCS(procs)
	debug.SetGCPercent(10)
	debug.SetMemoryLimit(math.MaxInt64)
}
