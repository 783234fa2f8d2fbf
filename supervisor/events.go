package supervisor

import (
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"usher/signals"
	"usher/supervisor/ending"
	"usher/supervisor/event"
	"usher/supervisor/exitcode"
	"usher/supervisor/goruntime"
	"usher/supervisor/lifecycle"
	"usher/supervisor/memory"
	"usher/supervisor/process"
	"usher/supervisor/spawn"
)

// children is what the loop knows of usher's children, besides the app and the
// commands.
type children struct {
	pending  spawn.Pending // children that have not executed their programs yet
	none     bool          // usher had no children when it last reaped
	unreaped bool          // the last reap has failed
	orphans  int           // number of orphans reaped
}

// arrival is the signal that the loop handles, and the lifecycle event made
// from it. It is part of the Supervisor so that a flood of signals allocates
// nothing.
type arrival struct {
	signal signals.Event
	event  lifecycle.Event
}

// settleAfter is how long after the app's start usher limits the heap. Neither
// the start nor the end of a short run waits for that.
const settleAfter = memory.Delay

// execPoll is how often usher checks what the kernel does not report: the end
// of stragglers that are not usher's children, the execve(2) of a child that
// can't send SIGCHLD, and children for which wait(2) has failed.
const execPoll = 10 * time.Millisecond

// turn waits for the next thing to happen and handles it.
func (s *Supervisor) turn() {
	timeout := time.Duration(-1)
	if !s.life.Deadline().IsZero() {
		timeout = max(0, time.Until(s.life.Deadline()))
	}
	if s.life.Phase().Sweeps() && s.children.none {
		timeout = min(timeout, execPoll)
	}
	if s.children.pending.Polled() && (timeout < 0 || timeout > execPoll) {
		timeout = execPoll
	}
	if next := s.commands.NextRead(); next >= 0 && (timeout < 0 || next < timeout) {
		timeout = next
	}
	if next := s.memory.Next(); !next.IsZero() && (timeout < 0 || time.Until(next) < timeout) {
		timeout = max(0, time.Until(next))
	}
	if s.children.unreaped && (timeout < 0 || timeout > execPoll) {
		timeout = execPoll
	}
	if !s.settled && (timeout < 0 || timeout > settleAfter) {
		timeout = settleAfter
	}
	e, ok := s.source.Wait(timeout)
	now := time.Now()
	if !s.settled && now.Sub(s.app.startedAt) >= settleAfter {
		goruntime.KeepSmall()
		s.settled = true
	}
	look := ok && e.Signal == unix.SIGCHLD
	if ok && !look {
		s.signalled(e, now)
	}
	if look {
		s.callPosted()
	}
	s.checkPending()
	if look || s.children.unreaped {
		s.reap(now)
	}
	if look || s.commands.NextRead() >= 0 {
		s.commands.ReadOutputs()
	}
	if s.memory.Turn(now) && s.life.Phase().Alive() {
		s.writeAhead()
	}
	if s.life.Phase().Sweeps() && process.Alone(s.self, s.children.none) {
		s.step(&lifecycle.Event{Kind: lifecycle.NobodyLeft, At: now})
	}
	// Check this after other events as well: a storm of signals must not delay what
	// is due.
	if now := time.Now(); s.life.Due(now) {
		s.step(&lifecycle.Event{Kind: lifecycle.TimeUp, At: now})
	}
}

// reap collects all children that have ended. If the app is among them, the
// machine gets that event last, when it is known which processes the app has
// left running.
func (s *Supervisor) reap(now time.Time) {
	ended := false
	var failed, err error // of a slow start of the app, and of the reap itself
	s.children.none, err = process.Reap(func(c process.Change) {
		switch {
		case s.commands.Changed(c.PID, c.Status):
		case c.PID != s.app.pid:
			if c.Status.Exited() || c.Status.Signaled() {
				s.children.orphans++
				if c.Status.Signaled() && c.Status.Signal() == unix.SIGKILL {
					s.memory.Killed(process.Proc{PID: c.PID})
				}
				s.view.Counters.Reaped.Add(1)
				if s.config.Orphan != nil && s.life.Phase().Alive() {
					s.config.Orphan(c.PID)
				}
			} else if c.Status.Stopped() && c.Status.StopSignal() == unix.SIGSTOP &&
				s.life.Phase() == lifecycle.Sweeping {
				_ = unix.Kill(c.PID, unix.SIGCONT) // or it would never act on SIGTERM
			}
		case c.Status.Stopped() && s.app.starting != nil && !s.app.starting.Wait(0):
			s.app.starting.Continue()
		case c.Status.Stopped():
			s.app.stopped = true
			if s.life.Phase() == lifecycle.Stopping {
				s.wake()
			} else {
				s.job.Suspended(c.Status.StopSignal(), s.app.group)
			}
		case c.Status.Continued():
			s.app.stopped = false
		default:
			s.app.pid = 0 // from here on another process may have that number
			if l := s.app.starting; l != nil {
				s.app.starting = nil
				if l.Wait(0) && l.Err != nil {
					failed = l.Err
					return
				}
			}
			s.ended(c)
			ended = true
		}
	})
	if err != nil && !s.children.unreaped {
		s.log.Errorf("%v: tried again every %v", err, execPoll)
	}
	s.children.unreaped = err != nil
	switch {
	case failed != nil:
		if s.ending.Restarts == 0 {
			s.app.group = 0 // no app has ever run
		}
		s.startFailed(failed)
	case ended:
		s.commands.KillAll()
		s.emit(s.appEnded(now))
		s.step(&lifecycle.Event{
			Kind:   lifecycle.AppEnded,
			At:     now,
			Failed: s.ending.Mapped(exitcode.Of(s.ending.Run.Status)) != 0,
			Last:   s.leavesStragglers() || process.Alone(s.self, s.children.none),
		})
	}
}

// signalled handles a signal to usher: it rewrites the signal, once, and passes
// it to the machine.
func (s *Supervisor) signalled(e signals.Event, now time.Time) {
	if s.job.IsHangup(e) {
		return
	}
	deliver := s.config.Rewrites.Apply(e.Signal)
	if deliver == 0 {
		s.emitSignal(event.SignalSwallowed, &e)
		return
	}
	s.arrival.signal = e
	woken, stopSelf := false, false
	switch e.Signal {
	case unix.SIGCONT:
		woken = s.job.Resume(s.app.pid, s.app.stopped)
	case unix.SIGTSTP, unix.SIGTTIN, unix.SIGTTOU:
		s.job.StopSent = true
		stopSelf = s.config.StopSelf
	}
	phase, arrived := s.life.Phase(), &s.arrival.signal
	noApp := phase == lifecycle.Preparing || phase == lifecycle.BackingOff
	stops := slices.Contains(s.config.StopSignals, e.Signal) ||
		noApp && e.Signal == unix.SIGINT // Ctrl-C without an app
	if !stops {
		if woken && deliver == e.Signal {
			s.emitSignal(event.SignalGrouped, &e)
			return // a second SIGCONT could wake the app from the next Ctrl-Z
		}
		s.arrival.event = lifecycle.Event{Kind: lifecycle.Signalled, At: now, Signal: arrived, Deliver: deliver}
	} else {
		arrived.Sender = ending.Named(e.Sender)
		s.arrival.event = lifecycle.Event{
			Kind: lifecycle.StopRequested, At: now, Signal: arrived, Deliver: deliver, NoHold: s.view.NoHold(),
		}
	}
	s.step(&s.arrival.event)
	if stopSelf {
		s.job.StopSelf()
	}
}
