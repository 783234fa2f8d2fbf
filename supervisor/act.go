package supervisor

import (
	"golang.org/x/sys/unix"

	"usher/signals"
	"usher/supervisor/ending"
	"usher/supervisor/event"
	"usher/supervisor/lifecycle"
	"usher/supervisor/process"
)

// step gives the machine an event, logs what the event changes, and carries out
// the machine's actions.
func (s *Supervisor) step(e *lifecycle.Event) {
	before, stopped := s.life.Phase(), s.life.Stopped()
	actions := s.life.Step(e)
	if !stopped && s.life.Stopped() {
		s.emit(s.stopRequested(e.At, before))
	}
	if s.life.Phase() != before {
		s.traffic.phase.Store(uint32(s.life.Phase()))
		s.left(before, e)
		s.entered(e)
	}
	s.act(actions)
	if s.life.Phase() != before || e.Kind == lifecycle.HookEnded || e.Kind == lifecycle.AppStarted {
		s.publish()
	}
}

func (s *Supervisor) act(actions []lifecycle.Action) {
	for _, a := range actions {
		switch a.Verb {
		case lifecycle.Prepare:
			s.prepare(a.N)
		case lifecycle.Launch:
			s.startApp()
		case lifecycle.Save:
			s.keep(a.Signal, a.Deliver)
		case lifecycle.Forward:
			if a.First {
				s.emitFirstSignal()
			}
			s.forward(a)
		case lifecycle.Send:
			s.sendNext(a)
		case lifecycle.Kill:
			s.killApp()
		case lifecycle.PostStart:
			s.runHook("post-start", s.config.PostStart, true)
		case lifecycle.PreStop:
			s.runHook("pre-stop", s.config.PreStop, false)
		case lifecycle.PostStop:
			s.runHook("post-stop", s.config.PostStop, false)
		case lifecycle.ExpireHook:
			s.expireHook()
		case lifecycle.CancelHook:
			s.cancelHook()
		case lifecycle.DetachHook:
			s.detachHook()
		case lifecycle.WriteAhead:
			s.write(s.record())
		case lifecycle.Sweep:
			found := s.withoutCommands(process.SignalStragglers(s.self, s.app.group, unix.SIGTERM))
			s.emit(event.Event{Kind: event.StragglersSignalled, Processes: process.Names(found)})
		case lifecycle.Clear:
			if found := s.withoutCommands(process.SignalStragglers(s.self, s.app.group, unix.SIGKILL)); len(found) > 0 {
				s.ending.Run.Killed = ending.Processes(found)
				s.emit(event.Event{Kind: event.StragglersKilled, Processes: process.Names(found)})
			}
		case lifecycle.Finish:
			s.finish()
		}
	}
}

// entered logs a new phase.
func (s *Supervisor) entered(e *lifecycle.Event) {
	st := s.life.Progress()
	switch st.Phase {
	case lifecycle.Holding:
		held := event.Event{
			Kind: event.Held, Signal: signals.Name(st.Signal), Sender: s.ending.StopSender(), Limit: s.timing.Hold,
		}
		if s.config.QuietPeriod > 0 {
			s.ending.Quiet = s.config.Quiet()
			held.Kind, held.Quiet, held.Reason = event.HeldUntilQuiet, s.config.QuietPeriod, s.ending.Quiet
			go s.watch(lifecycle.Holding, st.RequestedAt)
		}
		s.emit(held)
	case lifecycle.Draining:
		go s.watch(lifecycle.Draining, st.RequestedAt)
		s.emit(event.Event{Kind: event.DrainBegan, Limit: s.timing.Drain})
	case lifecycle.BackingOff:
		r := s.record()
		delay := st.Deadline.Sub(e.At)
		s.emit(event.Event{
			Kind:     event.RestartDelayed,
			Message:  r.String(),
			Reason:   string(r.Reason),
			ExitCode: r.ExitCode,
			Took:     delay,
		})
		s.write(r)
	case lifecycle.Clearing, lifecycle.Cleaning:
		s.write(s.record()) // the record that stands there says that the stop goes on
	}
}

// emitFirstSignal reports that the app gets the first signal of the stop.
func (s *Supervisor) emitFirstSignal() {
	st := s.life.Progress()
	e := event.Event{
		Kind:   event.AppSignalledAtOnce,
		Signal: signals.Name(st.Signal),
		Sender: s.ending.StopSender(),
		SentAs: s.ending.FirstSignal(),
		Took:   st.SignalledAt.Sub(st.RequestedAt),
	}
	switch {
	case st.HoldReason != "" && s.timing.Hold > 0:
		e.Kind, e.Reason = event.AppSignalledUnheld, st.HoldReason
	case e.Took > 0:
		e.Kind = event.AppSignalled
	}
	s.emit(e)
}
