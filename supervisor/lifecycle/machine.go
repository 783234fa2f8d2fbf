// Package lifecycle decides what happens in the life of an app and its stop: which event, in which phase, has which consequences. It has no
// clock and makes no system call. The loop in package supervisor tells the machine what has happened and when, and carries out its actions.
//
// docs/lifecycle.md shows the whole table.
package lifecycle

import (
	"time"

	"usher/signals"
)

// Machine is the state of one usher. It is not safe for use by several goroutines.
type Machine struct {
	timing Timing
	now    Progress

	signal  signals.Event // that requested the stop
	hooked  bool          // a hook runs
	failed  bool          // the app's last end was no success
	final   bool          // the app must not be started again, whatever the policy
	retry   bool          // the app may be started again after this stop
	actions []Action
}

// Progress is what can be seen of a Machine: where it is, and how it came there. Times are zero before they come.
type Progress struct {
	_        [0]func() // not comparable, or the compiler would make a function for that
	Phase    Phase
	Since    time.Time // when the phase began, or the hook in it
	Deadline time.Time // when the phase is over; zero is never

	Prepared  int       // number of completed preparations
	StartedAt time.Time // when the app was last started
	ExitedAt  time.Time // when it ended; zero again after a restart
	Restarts  int       // in a row

	// The stop. All of it is zero without one.
	Signal      signals.Signal // that requested it
	Sender      signals.Sender // who sent it
	Deliver     signals.Signal // what the app gets for that
	Cause       string         // why usher itself requested it; "" for a signal
	RequestedAt time.Time      // t0
	HoldOver    bool           // the hold has ended, or there was none
	HeldFor     time.Duration  // how long the signal was held back
	HoldReason  string         // why the hold ended early, or why there was none
	EndedQuiet  bool           // the hold ended early because traffic was quiet
	SignalledAt time.Time      // when the app got the first signal
	Item        int            // index of the schedule's item that is carried out
	KilledAt    time.Time      // when SIGKILL was sent
}

// New returns a machine that has not begun: see Begin.
func New(timing Timing) *Machine { return &Machine{timing: timing} }

// Begin begins with the first preparation or, where there is none, with the app.
func (m *Machine) Begin(at time.Time) []Action {
	m.begin(at)
	return m.decided()
}

// SkipHooks leaves out the preparations and the post-stop hook. To be called before Begin, where the app cannot be started anyway.
func (m *Machine) SkipHooks() { m.timing.Prepare, m.timing.PostStop = nil, 0 }

// Progress is the machine's state.
func (m *Machine) Progress() Progress { return m.now }

// Phase is Progress().Phase, for those who need no more.
func (m *Machine) Phase() Phase { return m.now.Phase }

// Deadline is Progress().Deadline.
func (m *Machine) Deadline() time.Time { return m.now.Deadline }

// Stopped reports whether a stop has been requested.
func (m *Machine) Stopped() bool { return !m.now.RequestedAt.IsZero() }

// Step takes an event and returns what to do about it, in order. The actions are good until the next call.
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

// Extend gives the app, which has asked for it, more time before the schedule's next item, as far as the budget has any.
func (m *Machine) Extend(until time.Time) {
	if m.now.Phase == Stopping && until.After(m.now.Deadline) && !m.now.Deadline.IsZero() {
		m.now.Deadline = m.within(until, 0, m.timing.Limit)
	}
}

// KillRefused says that the kernel did not let usher send the app SIGKILL, so that there is nothing to wait for.
func (m *Machine) KillRefused(at time.Time) {
	if m.now.Phase == Killing {
		m.now.Deadline = at
	}
}

// TailDeadline is when the reader of stderr has had its time; zero is never.
func (m *Machine) TailDeadline() time.Time { return m.within(time.Time{}, NoLimit, m.timing.Tail) }

// decided returns the actions since the last call.
func (m *Machine) decided() []Action {
	actions := m.actions
	m.actions = m.actions[:0]
	return actions
}

func (m *Machine) do(v Verb) { m.act(Action{Verb: v}) }

//go:noinline
func (m *Machine) act(a Action) { m.actions = append(m.actions, a) }

// within is the moment d after at, but not later than until after t0. Zero is no limit.
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
