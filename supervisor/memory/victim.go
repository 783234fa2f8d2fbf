package memory

import (
	"strconv"
	"time"

	"usher/supervisor/event"
	"usher/supervisor/process"
)

// death is the end of a process; the zero value means that none has ended.
type death struct {
	process.Proc      // its name may be missing
	killed       bool // by SIGKILL
}

// Killed is called when a process has ended by SIGKILL. Its name may be missing.
func (m *Shortage) Killed(p process.Proc) { m.look(death{p, true}) }

// Ended is called when a process has ended in another way than by SIGKILL.
func (m *Shortage) Ended(pid int) { m.look(death{Proc: process.Proc{PID: pid}}) }

// look reports whether the container has become short of memory since the last
// look. Kills of processes are logged. If a process has ended since the last look,
// it may be the victim, and look always returns false.
func (m *Shortage) look(died death) (trouble bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.found {
		// There are no counts of an earlier time to compare with, and the cgroup may
		// have had kills before usher was started. An app that was killed so early was
		// one of them. The others were not in this run.
		m.find()
		m.counts = m.group.Counts()
		if died.killed && m.counts.Kills > 0 {
			m.counts.Kills--
		}
	}
	if m.group == nil {
		return false
	}
	now, n := time.Now(), m.group.Counts()
	kills := n.Kills - m.counts.Kills
	m.counts.Kills = n.Kills
	if m.early && died.killed {
		if m.early = false; kills == 0 && now.Sub(m.first) < earlyTime {
			kills = 1
		}
	}
	late := kills == 0 && died.killed && now.Sub(m.unnamed) < earlyTime
	if kills > 0 || late {
		m.kills += int(kills)
		m.killed, m.victim, m.unnamed = now, m.name(died), time.Time{}
		if m.victim == unknownVictim {
			m.unnamed = now
		}
		r := m.record()
		m.log.Event(&event.Event{Kind: event.OOMKill, Message: r.String(), Processes: r.Victim})
	}
	if died.PID != 0 {
		return false
	}
	failing := n.OOM > m.counts.OOM
	atLimit := n.Limit > m.counts.Limit || failing
	m.counts = n
	// The kernel takes back the memory of caches, and may have done so already. A
	// limit that was reached because of caches is no trouble.
	if !atLimit || m.group.Usage() < m.group.Cache()+m.group.Limit()/4*3 {
		return false
	}
	if m.reached.IsZero() {
		m.reached = now
	}
	m.moved, m.failing = now, m.failing || failing
	return true
}

// Note returns a remark for a probe request: which processes were killed
// because memory ran out. It is "" if there were none. If the kernel reports no
// events, Note looks for them.
func (m *Shortage) Note() string {
	m.mu.Lock()
	ask := m.found && m.fd < 0 && time.Since(m.asked) > rest
	if ask {
		m.asked = time.Now()
	}
	m.mu.Unlock()
	if ask {
		m.Ended(m.self) // usher lives: this only makes look compare the counts
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.kills == 0 {
		return ""
	}
	r := m.record()
	return r.String()
}

const unknownVictim = "a process"

// name returns the victim of a kill, as far as it can be known. The kernel
// reports only the number of kills. It usually kills the largest process.
func (m *Shortage) name(died death) string {
	if died.killed {
		for _, p := range m.largest {
			if p.PID == died.PID {
				return p.String()
			}
		}
		if died.Name == "" {
			return "pid " + strconv.Itoa(died.PID)
		}
		return died.String()
	}
	if len(m.largest) > 0 {
		p := m.largest[0]
		now, ok := process.Read(p.PID)
		dying := !ok || now.State == 'Z' || now.RSS == 0
		if dying && p.PID != died.PID && p.RSS > m.group.Limit()/4 {
			return p.String()
		}
	}
	return unknownVictim
}

// largest returns the processes with the most resident memory, the largest first.
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
