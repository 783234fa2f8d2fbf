package memory

import (
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"usher/supervisor/event"
	"usher/supervisor/lastword"
	"usher/supervisor/process"
)

// Log receives what an administrator should know. It must not block.
type Log interface {
	Event(e *event.Event)
}

// Shortage watches the container's memory: whether it is short, and which
// processes the kernel has killed because of that.
type Shortage struct {
	self int // usher's pid
	log  Log
	root string // the directory that all paths are below; "" except in tests

	// These fields belong to the loop.
	begun      bool
	fd         int       // for Moved; -1 if the kernel reports no changes
	next       time.Time // the next look; zero means at the kernel's next signal
	notBefore  time.Time // the earliest time of the next look
	unmeasured bool      // the limit was reached, and the largest processes are still to be found

	// Probe requests use these fields as well.
	mu      sync.Mutex
	whole   bool // the kernel kills the whole container, usher included
	limit   uint64
	found   bool // the search for group is done
	group   *Cgroup
	counts  Counts         // at the last look
	early   bool           // at the first look there was a kill already, and its victim is unknown
	first   time.Time      // the first look
	kills   int            // number of killed processes
	asked   time.Time      // the last look for a probe request
	killed  time.Time      // when the last kill was noticed
	victim  string         // the process that was killed last
	unnamed time.Time      // when a kill was noticed whose victim is still unknown; zero if there is none
	reached time.Time      // when the limit was reached; zero if there is no shortage
	moved   time.Time      // the last event of the shortage
	failing bool           // since reached, the kernel has begun to look for a process to kill
	largest []process.Proc // the largest processes since reached
}

const (
	// Delay is the time from the app's start to the search for the cgroup. The
	// search takes longer than a start should, and longer than many an app lives.
	Delay = 20 * time.Millisecond
	// rest is the time without a look after a shortage was noticed, since there may
	// be thousands of events a second at a limit. The shorter one is for a limit that
	// was reached without a shortage.
	rest, shortRest = time.Second, 100 * time.Millisecond
	// calm is the time without an event after which a shortage is over.
	calm = 10 * time.Second
	// earlyTime is how long a process may still be dying that was killed just
	// before a look.
	earlyTime = 250 * time.Millisecond
	// oomWindow is the time after an OOM kill in which the app's end is attributed
	// to it.
	oomWindow = 2 * time.Second
)

// New returns a Shortage for usher, whose pid is self.
func New(self int, log Log) *Shortage { return &Shortage{self: self, log: log, fd: -1} }

// Begin makes Turn look for the cgroup some time after the app's start.
func (m *Shortage) Begin(started time.Time) { m.next = started.Add(Delay) }

// Next returns the time at which the loop has to call Turn. Zero means that a
// SIGCHLD will come when it has to.
func (m *Shortage) Next() time.Time { return m.next }

// Turn is called on every SIGCHLD, which is the signal that the kernel sends for
// events (Notify), and when the time of Next has come. It reports whether there is
// something new for the termination log.
func (m *Shortage) Turn(now time.Time) (news bool) {
	due := !m.next.IsZero() && !now.Before(m.next)
	switch {
	case !m.begun:
		if due {
			m.next, m.begun = time.Time{}, true
			news = m.begin()
		}
	case due && m.unmeasured:
		// Only now, when the first record has been written: there may be no time for
		// another one.
		m.measure()
		m.next, news = m.notBefore, true
	case m.fd < 0 || now.Before(m.notBefore):
	case Moved(m.fd):
		m.notBefore = now.Add(shortRest)
		m.next = m.notBefore
		if m.look(death{}) {
			m.notBefore = now.Add(rest)
			m.next, m.unmeasured, news = now, true, true
		}
	case due && m.reached.IsZero():
		m.next = time.Time{}
	case due && now.Before(m.moved.Add(calm)):
		m.next = m.moved.Add(calm)
	case due:
		m.next = time.Time{}
		m.over()
		news = true
	}
	return news
}

// begin asks the kernel for events. It reports whether the kernel kills the whole
// container, if that is news.
func (m *Shortage) begin() (news bool) {
	group := m.Cgroup()
	fd, whole := group.Notify(m.self, unix.SIGCHLD), group.Whole()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fd = fd
	news = whole && !m.whole
	m.whole = whole
	return news
}

// Foresee reports whether the kernel kills the whole container when memory runs
// out, as kubelet asks it to. Then an app that reaches the limit at once leaves
// usher no time to write. Usually, Foresee takes one system call.
func (m *Shortage) Foresee() bool {
	if c := Container(m.root); c.Whole() {
		m.mu.Lock()
		m.whole, m.limit = true, c.Limit()
		m.mu.Unlock()
	}
	return m.whole
}

// over ends a shortage.
func (m *Shortage) over() {
	m.mu.Lock()
	m.reached, m.failing, m.largest = time.Time{}, false, nil
	m.mu.Unlock()
}

// measure finds the largest processes. Of two looks, the one with the larger
// process counts, because that may have been killed in between.
func (m *Shortage) measure() {
	m.unmeasured = false
	procs := largest(process.Stragglers(m.self))
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.largest) == 0 || len(procs) > 0 && procs[0].RSS > m.largest[0].RSS {
		m.largest = procs
	}
}

// Cgroup returns the container's cgroup, or nil if it can't be seen. Any goroutine
// may call it.
func (m *Shortage) Cgroup() *Cgroup {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.found {
		m.find()
		m.counts, m.first = m.group.Counts(), time.Now()
		m.early = m.counts.Kills > 0
	}
	return m.group
}

// find searches for the cgroup. The caller holds mu.
func (m *Shortage) find() { m.group, m.found = Find(m.root), true }

// record returns what the last word says about memory. The caller holds mu.
func (m *Shortage) record() lastword.Memory {
	w := lastword.Memory{
		Whole:   m.whole,
		Limit:   m.group.Limit(),
		Usage:   m.group.Usage(),
		Peak:    m.group.Peak(),
		Reached: m.reached,
		Kills:   m.kills,
		Victim:  m.victim,
	}
	w.Elsewhere = w.Kills > 0 && (w.Limit == 0 || w.Peak > 0 && w.Peak < w.Limit-w.Limit/16)
	if len(m.largest) > 0 {
		w.Largest = m.largest[0].String() + " " + lastword.Bytes(m.largest[0].RSS)
	}
	return w
}

// Complete adds to r what is known about memory. If the lack of memory ended
// the app, Complete makes it the reason. The app has ended at the given time,
// with the exit code. That code counts, because a shell returns the 137 of its
// child.
func (m *Shortage) Complete(r *lastword.Record, code int, ended time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.found:
		r.Memory = m.record()
	case r.Ahead && m.whole:
		r.Memory = lastword.Memory{Whole: true, Limit: m.limit}
		return
	default:
		return // the app's life was too short to be worth the search for the cgroup
	}
	switch {
	case r.Ahead && r.Stop == nil && m.failing,
		!r.Ahead && code == 137 && r.Reason != lastword.StopTimeout &&
			!m.killed.IsZero() && ended.Sub(m.killed) < oomWindow:
		r.Reason = lastword.OOMKilled
	}
}
