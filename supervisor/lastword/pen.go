package lastword

import (
	"runtime"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// Pen writes the termination log for the loop. The file system may not answer,
// if its NFS or FUSE server is dead. Therefore a goroutine writes, and the loop
// waits for it only for a short time. A record that is not being written by
// then is replaced by the next one. A Pen without a Log writes nothing.
type Pen struct {
	Log *Log
	// Inline makes the loop write by itself, because no thread can be had.
	Inline bool

	busy atomic.Bool // the goroutine is writing
	lost atomic.Bool // the loop has given up waiting for the goroutine
	next atomic.Pointer[Record]
	err  error // of the last record; belongs to the goroutine while busy is set
}

const (
	// beginTime is how long a start waits until the log is emptied.
	beginTime = time.Second
	// WriteTime is how long the loop waits for a record to be written, and LastTime
	// how long it waits for the last record.
	WriteTime, LastTime = 100 * time.Millisecond, 2 * time.Second
	// leaseTime is how long another process, such as a file server, may hold a
	// lease on the log. The kernel breaks the lease after 45 seconds (fcntl(2),
	// F_SETLEASE).
	leaseTime = time.Minute
)

// Alone makes usher write the log without further threads.
func (p *Pen) Alone() {
	if p.Inline = true; p.Log != nil {
		p.Log.Alone()
	}
}

// Begin empties the log before the app is started.
func (p *Pen) Begin() error {
	if p.Log == nil || p.Inline {
		return nil
	}
	p.busy.Store(true)
	go p.work(true)
	return p.wait(beginTime, false)
}

// Write writes r to the log, and waits for that no longer than the limit. It
// returns each error once.
func (p *Pen) Write(r *Record, limit time.Duration, last bool) error {
	switch {
	case p.Log == nil:
		return nil
	case p.Inline:
		return p.Log.Write(r)
	}
	p.next.Store(r)
	if !p.busy.Swap(true) {
		go p.work(false)
	}
	return p.wait(limit, last)
}

// wait waits until the goroutine is done, or the time is up. If the loop has
// waited in vain before, it does not wait again, except for the last record. No
// timer of the Go runtime is used.
func (p *Pen) wait(limit time.Duration, last bool) error {
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

const noAnswer = Failure("the termination log does not answer in time: " +
	"its file system hangs or is slow, or another process has a lease on it")

// work writes records until there are none. It runs on a goroutine of its own.
func (p *Pen) work(begin bool) {
	if begin {
		p.Log.Begin(&p.lost) // which may take until after the app's start
	}
	for {
		for r := p.next.Swap(nil); r != nil; r = p.next.Swap(nil) {
			p.err = p.Log.Write(r)
			until := time.Now().Add(leaseTime)
			for p.Log.Leased() && p.next.Load() == nil && time.Now().Before(until) {
				_, _ = unix.Poll(nil, 10)
				p.err = p.Log.Write(r)
			}
		}
		p.busy.Store(false)
		if p.next.Load() == nil || p.busy.Swap(true) {
			return
		}
	}
}
