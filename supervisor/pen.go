package supervisor

import (
	"runtime"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"usher/supervisor/lastword"
)

// pen writes the termination log, which may lie on a file system that does not answer: a dead NFS or FUSE server. So a goroutine does it, and
// the loop waits for that for a short time only. A record that has not been begun by then gives way to the next one.
type pen struct {
	log  *lastword.Log // nil is none
	here bool          // on the loop itself: there is no thread for more

	busy atomic.Bool // the goroutine is at work
	lost atomic.Bool // and the loop has given up waiting for it
	next atomic.Pointer[lastword.Record]
	err  error // of the last record; the goroutine's while it is at work
}

const (
	// beginTime is how long a start waits for the log to be emptied.
	beginTime = time.Second
	// writeTime is how long the loop waits for a record to be written, and lastTime for the last one.
	writeTime, lastTime = 100 * time.Millisecond, 2 * time.Second
	// leaseTime is how long somebody may hold the log who has a lease on it, a file server for instance: the kernel takes that away after
	// 45 seconds (fcntl(2), F_SETLEASE).
	leaseTime = time.Minute
)

// alone has the log written without any more threads.
func (p *pen) alone() {
	if p.here = true; p.log != nil {
		p.log.Alone()
	}
}

// begin empties the log before the app is started.
func (p *pen) begin() error {
	if p.log == nil || p.here {
		return nil
	}
	p.busy.Store(true)
	go p.work(true)
	return p.wait(beginTime, false)
}

// write puts r into the log, and returns what went wrong, once.
func (p *pen) write(r *lastword.Record, limit time.Duration, last bool) error {
	switch {
	case p.log == nil:
		return nil
	case p.here:
		return p.log.Write(r)
	}
	p.next.Store(r)
	if !p.busy.Swap(true) {
		go p.work(false)
	}
	return p.wait(limit, last)
}

// wait lets the goroutine work until it is done or the time is up. Where it was waited for in vain it is not waited for again, unless that is
// for the last word. It takes no timer of the runtime's.
func (p *pen) wait(limit time.Duration, last bool) error {
	deadline := time.Now().Add(limit)
	for runtime.Gosched(); p.busy.Load(); runtime.Gosched() {
		switch {
		case p.lost.Load() && !last:
			return nil
		case !time.Now().Before(deadline):
			p.lost.Store(true)
			return noAnswer
		}
		_, _ = unix.Poll(nil, 1)
	}
	p.lost.Store(false)
	return p.err
}

const noAnswer = lastword.Failure("the termination log does not answer in time: its file system hangs or is slow, or somebody has a lease on it")

// work does what there is to do.
func (p *pen) work(begin bool) {
	if begin {
		p.log.Begin(&p.lost) // the app may have been started by then
	}
	for {
		for r := p.next.Swap(nil); r != nil; r = p.next.Swap(nil) {
			p.err = p.log.Write(r)
			for until := time.Now().Add(leaseTime); p.log.Leased() && p.next.Load() == nil && time.Now().Before(until); p.err = p.log.Write(r) {
				_, _ = unix.Poll(nil, 10)
			}
		}
		p.busy.Store(false)
		if p.next.Load() == nil || p.busy.Swap(true) {
			return
		}
	}
}
