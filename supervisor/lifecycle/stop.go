package lifecycle

import (
	"time"

	"golang.org/x/sys/unix"

	"usher/signals"
)

// The decisions of a stop, up to the app's end.

// recordStop records the request that began the stop, and t0 with it. Later
// requests change nothing.
//
//go:noinline
func (m *Machine) recordStop(e *Event) {
	if !m.Stopped() {
		m.signal = *e.Signal
		m.now.Signal, m.now.Sender, m.now.Deliver = e.Signal.Signal, e.Signal.Sender, e.Deliver
		m.now.Cause, m.now.RequestedAt = e.Cause, e.At
	}
}

// forgetStop clears the record of a stop that usher itself has requested, and
// that is over.
func (m *Machine) forgetStop() {
	m.retry = false
	m.now.Signal, m.now.Sender, m.now.Deliver, m.now.Item = 0, signals.Sender{}, 0, 0
	m.now.Cause, m.now.HoldReason = "", ""
	m.now.RequestedAt, m.now.SignalledAt, m.now.KilledAt = time.Time{}, time.Time{}, time.Time{}
}

// beginStop begins the stop of a running app. It begins with the hold, unless
// there is a reason against that.
func (m *Machine) beginStop(e *Event) {
	m.recordStop(e)
	m.endHook(CancelHook)
	switch {
	case e.NoHold != "":
		m.now.HoldReason = e.NoHold
		m.beginPreStop(e)
	case m.timing.Hold > 0:
		m.enter(Holding, e.At, m.timing.Hold, m.timing.Limit)
		m.do(WriteAhead)
	default:
		m.beginDrain(e)
	}
}

// endHold ends the hold because traffic is quiet.
func (m *Machine) endHold(e *Event) {
	m.now.EndedQuiet = true
	m.beginDrain(e)
}

// cutHold handles a second stop request: it ends the hold and the drain.
func (m *Machine) cutHold(e *Event) {
	if m.now.Phase == Holding {
		m.now.HoldReason = "second " + signals.Name(e.Signal.Signal)
		if e.Cause != "" {
			m.now.HoldReason = e.Cause
		}
	}
	m.beginPreStop(e)
}

// recordHold records how long the signal was held back.
func (m *Machine) recordHold(at time.Time) {
	if !m.now.HoldOver {
		m.now.HoldOver, m.now.HeldFor = true, at.Sub(m.now.RequestedAt)
	}
}

// beginDrain gives the app time for the requests that it has accepted.
func (m *Machine) beginDrain(e *Event) {
	m.recordHold(e.At)
	if m.timing.Drain == 0 {
		m.beginPreStop(e)
		return
	}
	m.enter(Draining, e.At, m.timing.Drain, m.timing.Limit)
	m.do(WriteAhead)
}

// beginPreStop runs the pre-stop hook. If there is none, it continues with the
// schedule.
//
//go:noinline
func (m *Machine) beginPreStop(e *Event) {
	m.recordHold(e.At)
	if m.timing.PreStop == 0 {
		m.beginSchedule(e)
		return
	}
	m.enter(Leaving, e.At, m.timing.PreStop, m.timing.Limit)
	m.do(WriteAhead)
	m.runHook(PreStop)
}

// cancelPreStop handles a further stop request: it ends the pre-stop hook.
func (m *Machine) cancelPreStop(e *Event) {
	m.endHook(CancelHook)
	m.beginSchedule(e)
}

func (m *Machine) expirePreStop(e *Event) {
	m.endHook(ExpireHook)
	m.beginSchedule(e)
}

// beginSchedule sends the app the first signal of the stop.
//
//go:noinline
func (m *Machine) beginSchedule(e *Event) {
	m.hooked, m.now.SignalledAt = false, e.At
	m.carryOut(e)
	m.do(WriteAhead)
}

// carryOut carries out the schedule's present item. After the last one the
// machine waits.
func (m *Machine) carryOut(e *Event) {
	item, ok := m.timing.Schedule.at(m.now.Item)
	if item.Signal == unix.SIGKILL {
		m.kill(e)
		return
	}
	if !ok {
		item.Wait = NoLimit
	}
	m.enter(Stopping, e.At, item.Wait, m.timing.Limit)
	first := m.now.Item == 0
	switch {
	case item.Signal != 0:
		m.act(Action{Verb: Send, Deliver: item.Signal, First: first})
	case ok:
		m.act(Action{Verb: Forward, Signal: &m.signal, Deliver: m.now.Deliver, First: first})
	}
}

// nextItem carries out the next item of the schedule, unless the budget is
// spent.
func (m *Machine) nextItem(e *Event) {
	if limit := m.timing.Limit; limit > 0 && !e.At.Before(m.now.RequestedAt.Add(limit)) {
		m.kill(e)
		return
	}
	m.now.Item++
	m.carryOut(e)
}

// kill sends SIGKILL, at the end of the schedule or of the budget.
func (m *Machine) kill(e *Event) {
	m.enter(Killing, e.At, NoLimit, 0)
	m.now.KilledAt = e.At
	m.do(Kill)
	m.do(WriteAhead)
}

// giveUpApp ends usher although the app lives, because the kernel does not let
// usher kill it. If usher is PID 1, the kernel kills the app when usher ends.
func (m *Machine) giveUpApp(e *Event) {
	m.now.ExitedAt, m.failed, m.final = e.At, true, true
	m.do(Clear) // usher may be allowed to kill some of the stragglers
	m.endRun(e)
}
