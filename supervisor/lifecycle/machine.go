// Package lifecycle decides what happens in the life of an app and in its stop:
// what follows from which event in which phase. It has no clock and makes no
// system call. The loop in package supervisor tells the machine what has
// happened and when, and carries out the machine's actions.
//
// docs/lifecycle.md shows the whole table.
package lifecycle

import (
	"time"

	"usher/signals"
)

// Machine is the state of one app. Only one goroutine may use it.
type Machine struct {
	timing Timing
	now    Progress

	signal  signals.Event // the signal that requested the stop
	hooked  bool          // a hook runs
	failed  bool          // the last end of the app was a failure
	final   bool          // the app must not be started again, whatever the policy
	retry   bool          // the app may be started again after this stop
	actions []Action
}

// Progress is the state of a Machine that others may read: the present phase,
// and how the Machine came there. A time is zero until its event has happened.
type Progress struct {
	_        [0]func() // not comparable, or the compiler would make a function for that
	Phase    Phase
	Since    time.Time // when the phase began, or the hook in it
	Deadline time.Time // when the phase is over; zero means never

	Prepared  int       // number of completed preparations
	StartedAt time.Time // when the app was last started
	ExitedAt  time.Time // when the app ended; zero again after a restart
	Restarts  int       // number of restarts in a row

	// The stop. These fields are zero if there is none.
	Signal      signals.Signal // the signal that requested the stop
	Sender      signals.Sender // the sender of Signal
	Deliver     signals.Signal // the signal that the app gets for Signal
	Cause       string         // why usher itself requested the stop; "" if a signal did
	RequestedAt time.Time      // t0
	HoldOver    bool           // the hold has ended, or there was none
	HeldFor     time.Duration  // how long the signal was held back
	HoldReason  string         // why the hold ended early, or why there was none
	EndedQuiet  bool           // the hold ended early because traffic was quiet
	SignalledAt time.Time      // when the app got the first signal
	Item        int            // index of the present item of the schedule
	KilledAt    time.Time      // when SIGKILL was sent
}

// New returns a machine. It does nothing before Begin.
func New(timing Timing) *Machine { return &Machine{timing: timing} }

// Begin begins with the first preparation. If there is none, it begins with the
// app.
func (m *Machine) Begin(at time.Time) []Action {
	m.begin(at)
	return m.decided()
}

// SkipHooks leaves out the preparations and the post-stop hook. The caller
// calls it before Begin, if the app cannot be started anyway.
func (m *Machine) SkipHooks() { m.timing.Prepare, m.timing.PostStop = nil, 0 }

// Progress returns the machine's state.
func (m *Machine) Progress() Progress { return m.now }

// Phase returns Progress().Phase, for callers that need no more.
func (m *Machine) Phase() Phase { return m.now.Phase }

// Deadline returns Progress().Deadline.
func (m *Machine) Deadline() time.Time { return m.now.Deadline }

// Stopped reports whether a stop has been requested.
func (m *Machine) Stopped() bool { return !m.now.RequestedAt.IsZero() }

// Step takes an event and returns the actions that follow, in order. The
// actions are valid until the next call.
func (m *Machine) Step(e *Event) []Action {
	switch {
	case e.Kind == TimeUp && !m.Due(e.At):
		return nil
	case e.Cause != "" && m.Stopped() && m.now.Phase != Holding:
		return nil
	}
	if e.Kind == StopRequested {
		if m.retry && m.now.Phase == BackingOff {
			m.forgetStop()
		}
		m.retry = e.Retry && !m.Stopped()
	}
	if do := table[m.now.Phase][e.Kind]; do != nil {
		do(m, e)
	}
	return m.decided()
}

// Due reports whether the time of the phase is up.
func (m *Machine) Due(at time.Time) bool {
	return !m.now.Deadline.IsZero() && !at.Before(m.now.Deadline)
}

// Extend gives the app, which has asked for it, more time before the next item
// of the schedule. It can't go beyond the budget.
func (m *Machine) Extend(until time.Time) {
	if m.now.Phase == Stopping && until.After(m.now.Deadline) && !m.now.Deadline.IsZero() {
		m.now.Deadline = m.within(until, 0, m.timing.Limit)
	}
}

// KillRefused tells the machine that the kernel did not let usher send the app
// SIGKILL, so that there is nothing to wait for.
func (m *Machine) KillRefused(at time.Time) {
	if m.now.Phase == Killing {
		m.now.Deadline = at
	}
}

// TailDeadline returns when usher stops reading the app's stderr. Zero means
// never.
func (m *Machine) TailDeadline() time.Time { return m.within(time.Time{}, NoLimit, m.timing.Tail) }

// decided returns the actions that were decided since the last call.
func (m *Machine) decided() []Action {
	actions := m.actions
	m.actions = m.actions[:0]
	return actions
}

func (m *Machine) do(v Verb) { m.act(Action{Verb: v}) }

//go:noinline
func (m *Machine) act(a Action) { m.actions = append(m.actions, a) }

// within returns the time d after at, but no time later than until after t0.
// Zero means no limit.
func (m *Machine) within(at time.Time, d, until time.Duration) time.Time {
	var t time.Time
	if d != NoLimit {
		t = at.Add(d)
	}
	if m.Stopped() && until > 0 {
		if end := m.now.RequestedAt.Add(until); t.IsZero() || end.Before(t) {
			t = end
		}
	}
	return t
}

// enter begins a phase that may take d, but not longer than until after t0.
//
//go:noinline
func (m *Machine) enter(p Phase, at time.Time, d, until time.Duration) {
	m.now.Phase, m.now.Since, m.now.Deadline = p, at, m.within(at, d, until)
}

// runHook runs a hook in the present phase.
func (m *Machine) runHook(v Verb) {
	m.hooked = true
	m.do(v)
}

// endHook ends the running hook, if there is one, in the way that v says.
//
//go:noinline
func (m *Machine) endHook(v Verb) {
	if m.hooked {
		m.hooked = false
		m.do(v)
	}
}

func (m *Machine) forwardSignal(e *Event) {
	m.act(Action{Verb: Forward, Signal: e.Signal, Deliver: e.Deliver})
}
