package lifecycle

import (
	"time"

	"usher/signals"
)

// The decisions before the app, and at its start.

// begin continues with the next preparation, or with the app.
func (m *Machine) begin(at time.Time) {
	if m.now.Prepared == len(m.timing.Prepare) {
		m.enter(Running, at, NoLimit, 0)
		m.now.StartedAt = at
		m.do(Launch)
		return
	}
	m.enter(Preparing, at, m.timing.Prepare[m.now.Prepared], 0)
	m.hooked = true
	m.act(Action{Verb: Prepare, N: m.now.Prepared})
}

func (m *Machine) endPreparation(e *Event) {
	m.hooked = false
	if e.Failed {
		m.final = true
		m.endApp(e)
		return
	}
	m.now.Prepared++
	m.begin(e.At)
}

func (m *Machine) expirePreparation(e *Event) {
	m.endHook(ExpireHook)
	m.final = true
	m.endApp(e)
}

// saveSignal keeps a signal that arrives before the app is started.
func (m *Machine) saveSignal(e *Event) {
	m.act(Action{Verb: Save, Signal: e.Signal, Deliver: e.Deliver})
}

// cancelStart handles a stop request before the app has been started: the
// running hook becomes a straggler.
func (m *Machine) cancelStart(e *Event) {
	m.recordStop(e)
	m.endHook(DetachHook)
	m.endApp(e)
}

func (m *Machine) beginPostStart(e *Event) {
	if m.timing.PostStart != 0 {
		m.enter(Running, e.At, m.timing.PostStart, 0)
		m.runHook(PostStart)
	}
}

// endPostStart stops the app if the hook has failed, as Kubernetes does.
func (m *Machine) endPostStart(e *Event) {
	m.hooked, m.now.Deadline = false, time.Time{}
	if e.Failed {
		const why = "post-start failed"
		m.beginStop(&Event{
			At:      e.At,
			Signal:  &signals.Event{Signal: m.timing.StopSignal},
			Deliver: m.timing.StopDeliver,
			Cause:   why,
			NoHold:  why,
		})
	}
}

func (m *Machine) expirePostStart(e *Event) {
	m.endHook(ExpireHook)
	m.endPostStart(&Event{At: e.At, Failed: true})
}
