package supervisor

import (
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"usher/supervisor/lastword"
	"usher/supervisor/memory"
	"usher/supervisor/process"
)

// shortage is what usher knows of the container's memory, and of who died for want of it.
type shortage struct {
	self int
	log  Logger
	root string // of all files; "" but for tests

	// The loop's own.
	begun bool
	fd    int       // tells of news; -1 where there is none
	next  time.Time // when to look without being told; zero is never
	hold  time.Time // until when not to look
	// unmeasured: the limit was reached, and it is not known yet with what.
	unmeasured bool

	// Probe requests look as well.
	mu      sync.Mutex
	whole   bool // the kernel kills the whole container, usher as well
	limit   uint64
	found   bool
	group   *memory.Cgroup
	counts  memory.Counts // as of the last look
	early   bool          // somebody had been killed already at the first, and who it was has not been seen
	first   time.Time     // when that was
	kills   int
	asked   time.Time // when a probe did last
	killed  time.Time // when the last of them was noticed
	victim  string
	unnamed time.Time      // when somebody was found killed who is not known yet; zero is nobody
	reached time.Time      // when the limit was, while it is not over
	moved   time.Time      // when that was noticed last
	failing bool           // the kernel has begun to look for somebody to kill since then
	largest []process.Proc // since then
}

const (
	// memoryDelay is how long after the app's start usher looks for the cgroup: that takes longer than a start should, and than the
	// life of many an app.
	memoryDelay = 20 * time.Millisecond
	// memoryRest is how long usher then does not look, since at a limit there may be news thousands of times a second; the shorter one is
	// for a limit that was reached, but not for want of memory.
	memoryRest, memoryShortRest = time.Second, 100 * time.Millisecond
	// memoryCalm is how long nothing may happen for a shortage to be over.
	memoryCalm = 10 * time.Second
	// earlyTime is how long after a look a process may still be dying that was killed just before it.
	earlyTime = 250 * time.Millisecond
	// recently is how long after a kill for want of memory the app's end has to do with it.
	recently = 2 * time.Second
)

// turn is called on every SIGCHLD, which is what the kernel sends for news (memory.Notify), and when m.next has come. It reports
// whether there is something for the termination log.
func (m *shortage) turn(now time.Time) (news bool) {
	due := !m.next.IsZero() && !now.Before(m.next)
	switch {
	case !m.begun:
		if due {
			m.next, m.begun = time.Time{}, true
			news = m.begin()
		}
	case due && m.unmeasured:
		// After the first word is written: there may be no time for more.
		m.measure()
		m.next, news = m.hold, true
	case m.fd < 0 || now.Before(m.hold):
	case memory.Moved(m.fd):
		m.hold = now.Add(memoryShortRest)
		m.next = m.hold
		if m.look(process.Proc{}) {
			m.hold = now.Add(memoryRest)
			m.next, m.unmeasured, news = now, true, true
		}
	case due && m.reached.IsZero():
		m.next = time.Time{}
	case due && now.Before(m.moved.Add(memoryCalm)):
		m.next = m.moved.Add(memoryCalm)
	case due:
		m.next = time.Time{}
		m.over()
		news = true
	}
	return news
}

// begin reports whether the kernel kills the whole container, and that was not known.
func (m *shortage) begin() (news bool) {
	group := m.cgroup()
	fd, whole := group.Notify(m.self, unix.SIGCHLD), group.Whole()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fd = fd
	news = whole && !m.whole
	m.whole = whole
	return news
}

// foresee looks whether the kernel kills the whole container for want of memory, as kubelet asks of it: an app that goes to the limit at once
// leaves usher no time to write. It takes one system call where that is not so.
func (m *shortage) foresee() {
	if c := memory.Container(m.root); c.Whole() {
		m.mu.Lock()
		m.whole, m.limit = true, c.Limit()
		m.mu.Unlock()
	}
}

func (m *shortage) over() {
	m.mu.Lock()
	m.reached, m.failing, m.largest = time.Time{}, false, nil
	m.mu.Unlock()
}

// measure looks who has the memory. Of two looks the one with the larger process tells more: in between, it may have been killed.
func (m *shortage) measure() {
	m.unmeasured = false
	procs := largest(process.Stragglers(m.self))
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.largest) == 0 || len(procs) > 0 && procs[0].RSS > m.largest[0].RSS {
		m.largest = procs
	}
}

// cgroup is the container's, nil where it can't be seen. Any goroutine may ask.
func (m *shortage) cgroup() *memory.Cgroup {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.found {
		m.find()
		m.counts, m.first = m.group.Counts(), time.Now()
		m.early = m.counts.Kills > 0
	}
	return m.group
}

// find is to be called with mu held.
func (m *shortage) find() { m.group, m.found = memory.Find(m.root), true }

// look says whether the container is short of memory since the last look, while nobody is known to have died of it. died is a process that
// SIGKILL has ended since then, if one is known; its name may be missing, and its pid is negative if it has ended in another way.
func (m *shortage) look(died process.Proc) (trouble bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.found {
		// Before begin nothing has been read to compare with, and the cgroup may have had kills before usher came. An app that was killed so soon was
		// one of them; what else was counted is not this run's.
		m.find()
		m.counts = m.group.Counts()
		if died.PID > 0 && m.counts.Kills > 0 {
			m.counts.Kills--
		}
	}
	if m.group == nil {
		return false
	}
	now, n := time.Now(), m.group.Counts()
	kills := n.Kills - m.counts.Kills
	m.counts.Kills = n.Kills
	if m.early && died.PID > 0 {
		if m.early = false; kills == 0 && now.Sub(m.first) < earlyTime {
			kills = 1
		}
	}
	late := kills == 0 && died.PID > 0 && now.Sub(m.unnamed) < earlyTime
	if kills > 0 || late {
		m.kills += int(kills)
		m.killed, m.victim, m.unnamed = now, m.name(died), time.Time{}
		if m.victim == somebody {
			m.unnamed = now
		}
		r := m.record()
		m.log.Errorf("%s", &r)
	}
	if died.PID != 0 {
		return false
	}
	failing := n.OOM > m.counts.OOM
	atLimit := n.Limit > m.counts.Limit || failing
	m.counts = n
	// What caches take the kernel takes back, perhaps it already has: a limit that was reached with them is no trouble.
	if !atLimit || m.group.Usage() < m.group.Cache()+m.group.Limit()/4*3 {
		return false
	}
	if m.reached.IsZero() {
		m.reached = now
	}
	m.moved, m.failing = now, m.failing || failing
	return true
}

// note is for a probe request: who has died for want of memory, if anybody has. Where the kernel tells nothing by itself, it is asked.
func (m *shortage) note() string {
	m.mu.Lock()
	ask := m.found && m.fd < 0 && time.Since(m.asked) > memoryRest
	if ask {
		m.asked = time.Now()
	}
	m.mu.Unlock()
	if ask {
		m.look(process.Proc{PID: -m.self})
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.kills == 0 {
		return ""
	}
	r := m.record()
	return r.String()
}

const somebody = "a process"

// name is who was killed, as far as can be known: the kernel says only how many, and takes the largest.
func (m *shortage) name(died process.Proc) string {
	for i, p := range m.largest {
		switch now, ok := process.Read(p.PID); {
		case p.PID == died.PID, died.PID <= 0 && i == 0 && p.PID != -died.PID && p.RSS > m.group.Limit()/4 && (!ok || now.State == 'Z' || now.RSS == 0):
			return p.String()
		}
	}
	switch {
	case died.PID <= 0:
		return somebody
	case died.Name == "":
		return "pid " + strconv.Itoa(died.PID)
	}
	return died.String()
}

// largest are the processes with the most resident memory, the largest first.
func largest(procs []process.Proc) []process.Proc {
	const most = 5
	for i := range min(most, len(procs)) {
		for j := i + 1; j < len(procs); j++ {
			if procs[j].RSS > procs[i].RSS {
				procs[i], procs[j] = procs[j], procs[i]
			}
		}
	}
	return procs[:min(most, len(procs))]
}

// record is for the last word. To be called with mu held.
func (m *shortage) record() lastword.Memory {
	w := lastword.Memory{Whole: m.whole, Limit: m.group.Limit(), Usage: m.group.Usage(), Peak: m.group.Peak(), Reached: m.reached, Kills: m.kills, Victim: m.victim}
	w.Elsewhere = w.Kills > 0 && (w.Limit == 0 || w.Peak > 0 && w.Peak < w.Limit-w.Limit/16)
	if len(m.largest) > 0 {
		w.Largest = m.largest[0].String() + " " + lastword.Bytes(m.largest[0].RSS)
	}
	return w
}

// tell puts what is known into r, and makes it the reason where it is. code is the app's exit code: a shell hands on the 137 of its child.
func (m *shortage) tell(r *lastword.Record, code int, ended time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.found:
		r.Memory = m.record()
	case r.Ahead && m.whole:
		r.Memory = lastword.Memory{Whole: true, Limit: m.limit}
		return
	default:
		return // a short and good life, not worth the time that looking takes
	}
	switch {
	case r.Ahead && r.Stop == nil && m.failing,
		!r.Ahead && code == 137 && r.Reason != lastword.StopTimeout && !m.killed.IsZero() && ended.Sub(m.killed) < recently:
		r.Reason = lastword.OOMKilled
	}
}
