package supervisor

import (
	"cmp"
	"time"

	"golang.org/x/sys/unix"

	"usher/internal/printable"
	"usher/signals"
	"usher/supervisor/event"
	"usher/supervisor/lifecycle"
	"usher/supervisor/process"
	"usher/supervisor/report"
)

// keep saves a signal for an app that is not there yet, as the kernel does for a
// process that blocks it: one of each standard signal, and all real-time ones
// (signal(7)).
func (s *Supervisor) keep(e *signals.Event, deliver signals.Signal) {
	for i := range s.app.kept {
		if e.Signal < signals.RTMin && s.app.kept[i].event.Signal == e.Signal {
			return
		}
	}
	s.app.kept = append(s.app.kept, keptSignal{*e, deliver})
}

// forward sends the app a signal that has arrived.
func (s *Supervisor) forward(a lifecycle.Action) {
	e, sig := a.Signal, a.Deliver
	if s.app.starting != nil && s.life.Phase() == lifecycle.Running {
		s.keep(e, sig) // for the program that is to come: the child that becomes it would die of most signals
		return
	}
	if s.log.Verbose() {
		sender := e.Sender.String()
		if a.First { // the stop's own, which may be usher's
			sender = s.report.StopSender()
		}
		s.tell(event.Event{
			Kind:   event.SignalForwarded,
			Signal: signals.Name(e.Signal),
			Sender: sender,
			SentAs: signals.Name(sig),
		})
	}
	s.send(e, sig)
	run := &s.report.Run
	run.Forwarded, run.ForwardedAs, run.ForwardedAt = *e, sig, time.Now()
	if s.app.stopped && s.life.Phase() == lifecycle.Stopping {
		s.wake()
	}
}

// sendNext sends the next signal of the schedule.
func (s *Supervisor) sendNext(a lifecycle.Action) {
	name := signals.Name(a.Deliver)
	if since := time.Since(s.life.Progress().RequestedAt); !a.First {
		s.report.Steps = append(s.report.Steps, name+" after "+printable.Round(since).String())
		s.tell(event.Event{Kind: event.Escalated, SentAs: name, Took: since})
	} else {
		s.tellFirstSignal()
	}
	s.app.woken = false
	s.signal(a.Deliver)
	if s.app.stopped {
		s.wake()
	}
}

func (s *Supervisor) killApp() {
	found := s.withoutCommands(process.Stragglers(s.self))
	s.report.Run.StillThere = report.Processes(found)
	st := s.life.Progress()
	s.tell(event.Event{
		Kind:      event.AppKilled,
		Signal:    signals.Name(st.Signal),
		Processes: cmp.Or(process.Names(found), s.config.Command[0]),
		Took:      st.KilledAt.Sub(st.RequestedAt),
	})
	s.signal(unix.SIGKILL)
}

// wake sends SIGCONT to an app that can't act on a signal because it is stopped. It
// does so once for each signal of the schedule: an app that stops again and again,
// in the background of its terminal, would keep both busy.
func (s *Supervisor) wake() {
	if !s.app.woken {
		s.app.woken = true
		s.signal(unix.SIGCONT)
	}
}

// signal sends the app a signal of usher's own.
func (s *Supervisor) signal(sig signals.Signal) { s.send(&signals.Event{Signal: sig}, sig) }

// send is the only place that signals the app. It is on the goroutine that reaps, so
// that the pid can't be another process's by then.
func (s *Supervisor) send(e *signals.Event, sig signals.Signal) {
	if s.app.pid == 0 {
		return
	}
	s.view.Counters.Forwarded[sig].Add(1)
	err := unix.ESRCH
	if s.config.ProcessGroup {
		err, _ = e.Send(-s.app.pid, sig).(unix.Errno)
	}
	if err == unix.ESRCH || sig == unix.SIGKILL { // the app may have left its group
		err, _ = e.Send(s.app.pid, sig).(unix.Errno)
	}
	if err != 0 {
		s.tell(event.Event{Kind: event.SignalFailed, Signal: signals.Name(sig), Reason: err.Error()})
		if sig == unix.SIGKILL && err != unix.ESRCH {
			s.report.Run.Status = unix.WaitStatus(unix.SIGKILL) // unless the app ends after all
			s.report.Run.Phase = s.life.Phase()
			s.report.Notes = append(s.report.Notes, "the app could not be killed: "+err.Error())
			s.life.KillRefused(time.Now())
		}
	}
}
