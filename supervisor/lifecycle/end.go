package lifecycle

import "time"

// The decisions after the app's end.

// clearTime is how long usher waits for stragglers to which it has sent
// SIGKILL. The kernel needs a moment for that, or for ever if a process hangs
// in a system call that can't be interrupted. Before a restart usher waits for
// restartTime, because a straggler may hold the app's port.
const (
	clearTime   = 250 * time.Millisecond
	restartTime = 5 * time.Second
)

// endApp terminates the processes that the app has left running. As PID 1,
// usher's own exit would kill them without a warning. A server behind `sh -c`,
// whose shell is the app, would die that way.
func (m *Machine) endApp(e *Event) {
	spent := m.now.Phase == Killing
	m.now.ExitedAt, m.failed, m.final = e.At, e.Failed || m.retry, m.final || e.Final
	m.endHook(CancelHook)
	switch {
	case e.Last:
		m.endRun(e)
	case spent || m.timing.Stragglers == 0:
		m.killStragglers(e)
	default:
		m.enter(Sweeping, e.At, m.timing.Stragglers, m.timing.Limit)
		if m.Stopped() || m.timing.Restart == RestartNo {
			m.do(WriteAhead)
		}
		m.do(Sweep)
	}
}

// startBudget handles a stop request while stragglers are being terminated: the
// grace period starts now, and may shorten their deadline.
func (m *Machine) startBudget(e *Event) {
	m.recordStop(e)
	m.now.Deadline = m.within(e.At, m.now.Deadline.Sub(e.At), m.timing.Limit)
}

func (m *Machine) killStragglers(e *Event) {
	m.enter(Clearing, e.At, clearTime, 0)
	if m.restarts() {
		m.now.Deadline = e.At.Add(restartTime)
	}
	m.do(Clear)
}

// shortenClear handles a stop request after SIGKILL to the stragglers: no app
// is started again, so less depends on their end.
func (m *Machine) shortenClear(e *Event) {
	m.recordStop(e)
	if soon := e.At.Add(clearTime); soon.Before(m.now.Deadline) {
		m.now.Deadline = soon
	}
}

// endRun continues when no process runs any more: with a restart, the post-stop
// hook, or usher's end.
func (m *Machine) endRun(e *Event) {
	switch {
	case m.restarts():
		m.now.Phase, m.now.Deadline = BackingOff, m.now.ExitedAt.Add(m.backOff())
		m.now.Restarts++
		if !e.At.Before(m.now.Deadline) {
			m.restart(e)
		}
	case m.timing.PostStop > 0:
		m.enter(Cleaning, e.At, m.timing.PostStop, m.timing.End)
		m.runHook(PostStop)
	default:
		m.finish(e)
	}
}

func (m *Machine) restart(e *Event) {
	m.now.ExitedAt = time.Time{}
	if m.retry {
		m.forgetStop()
	}
	m.begin(e.At)
}

func (m *Machine) cancelRestart(e *Event) {
	m.recordStop(e)
	m.endRun(e)
}

// shortenPostStop handles a stop request during the post-stop hook: the first
// one starts the budget, a second one ends the hook.
func (m *Machine) shortenPostStop(e *Event) {
	if m.Stopped() {
		m.endHook(CancelHook)
		m.finish(e)
		return
	}
	m.recordStop(e)
	m.now.Deadline = m.within(e.At, m.now.Deadline.Sub(e.At), m.timing.End)
}

func (m *Machine) expirePostStop(e *Event) {
	m.endHook(ExpireHook)
	m.finish(e)
}

func (m *Machine) finish(*Event) {
	m.now.Phase, m.now.Deadline, m.hooked = Ended, time.Time{}, false
	m.do(Finish)
}
