package supervisor

import (
	"cmp"
	"time"

	"golang.org/x/sys/unix"

	"usher/internal/printable"
	"usher/signals"
	"usher/supervisor/ending"
	"usher/supervisor/event"
	"usher/supervisor/lifecycle"
	"usher/supervisor/process"
)

// keep saves a signal for an app that has not been started yet, as the kernel
// does for a process that blocks it: one of each standard signal, and all
// real-time ones (signal(7)).
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
		s.keep(e, sig) // the child has not executed the app's program yet, and would die of most signals
		return
	}
	if s.log.Verbose() {
		sender := e.Sender.String()
		if a.First { // the signal of the stop, which usher itself may have requested
			sender = s.ending.StopSender()
		}
		s.emit(event.Event{
			Kind:   event.SignalForwarded,
			Signal: signals.Name(e.Signal),
			Sender: sender,
			SentAs: signals.Name(sig),
		})
	}
	s.send(e, sig)
	run := &s.ending.Run
	run.Forwarded, run.ForwardedAs, run.ForwardedAt = *e, sig, time.Now()
	if s.app.stopped && s.life.Phase() == lifecycle.Stopping {
		s.wake()
	}
}

// sendNext sends the next signal of the schedule.
func (s *Supervisor) sendNext(a lifecycle.Action) {
	name := signals.Name(a.Deliver)
	if since := time.Since(s.life.Progress().RequestedAt); !a.First {
		s.ending.Steps = append(s.ending.Steps, name+" after "+printable.Round(since).String())
		s.emit(event.Event{Kind: event.Escalated, SentAs: name, Took: since})
	} else {
		s.emitFirstSignal()
	}
	s.app.woken = false
	s.signal(a.Deliver)
	if s.app.stopped {
		s.wake()
	}
}

func (s *Supervisor) killApp() {
	found := s.withoutCommands(process.Stragglers(s.self))
	s.ending.Run.StillThere = ending.Processes(found)
	st := s.life.Progress()
	s.emit(event.Event{
		Kind:      event.AppKilled,
		Signal:    signals.Name(st.Signal),
		Processes: cmp.Or(process.Names(found), s.config.Command[0]),
		Took:      st.KilledAt.Sub(st.RequestedAt),
	})
	s.signal(unix.SIGKILL)
}

// wake sends SIGCONT to an app that can't act on a signal because it is
// stopped. It does so once for each signal of the schedule: if the app stopped
// again and again, in the background of its terminal, both would be kept busy.
func (s *Supervisor) wake() {
	if !s.app.woken {
		s.app.woken = true
		s.signal(unix.SIGCONT)
	}
}

// signal sends the app a signal that usher itself has chosen.
func (s *Supervisor) signal(sig signals.Signal) { s.send(&signals.Event{Signal: sig}, sig) }

// send is the only function that signals the app. It runs on the goroutine that
// reaps, so that the pid can't belong to another process by then.
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
		s.emit(event.Event{Kind: event.SignalFailed, Signal: signals.Name(sig), Reason: err.Error()})
		if sig == unix.SIGKILL && err != unix.ESRCH {
			s.ending.Run.Status = unix.WaitStatus(unix.SIGKILL) // in case the app never ends
			s.ending.Run.Phase = s.life.Phase()
			s.ending.Notes = append(s.ending.Notes, "the app could not be killed: "+err.Error())
			s.life.KillRefused(time.Now())
		}
	}
}
