package supervisor

import (
	"golang.org/x/sys/unix"

	"usher/signals"
	"usher/supervisor/lastword"
	"usher/supervisor/lifecycle"
	"usher/supervisor/process"
	"usher/supervisor/report"
)

// step asks the stop what to do and does it.
func (s *Supervisor) step(e *lifecycle.Event) {
	before := s.life.Phase()
	actions := s.life.Step(e)
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
				s.logFirstSignal()
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
			s.log.Debugf("the app is gone, SIGTERM to what it leaves behind: %s", process.Names(found))
		case lifecycle.Clear:
			if found := s.withoutCommands(process.SignalStragglers(s.self, s.app.group, unix.SIGKILL)); len(found) > 0 {
				s.report.Run.Killed = report.Processes(found)
				s.log.Infof("the app is gone, SIGKILL to what it leaves behind: %s", process.Names(found))
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
		name, sender := signals.Name(st.Signal), s.report.StopSender()
		if s.config.QuietPeriod == 0 {
			s.log.Infof("%s from %s, held back for %v", name, sender, s.timing.Hold)
			break
		}
		s.report.Quiet = s.config.Quiet()
		s.log.Infof("%s from %s, held back until traffic has been %s, at most %v",
			name, sender, s.report.Quiet, s.timing.Hold)
		go s.watch(lifecycle.Holding, st.RequestedAt)
	case lifecycle.Draining:
		go s.watch(lifecycle.Draining, st.RequestedAt)
		s.log.Infof("requests that are being answered may finish, within %v", s.timing.Drain)
	case lifecycle.BackingOff:
		r := s.record()
		s.log.Infof("%s; started again in %v", r, lastword.Round(st.Deadline.Sub(e.At)))
		s.write(r)
	case lifecycle.Clearing, lifecycle.Cleaning:
		s.write(s.record()) // so far the log says that the stop goes on
	}
}

// logFirstSignal logs that the app gets the first signal of the stop.
func (s *Supervisor) logFirstSignal() {
	st := s.life.Progress()
	name := signals.Name(st.Signal)
	switch {
	case st.HoldReason != "" && s.timing.Hold > 0:
		s.log.Infof("%s from %s, sent to the app without further delay: %s", name, s.report.StopSender(), st.HoldReason)
	case st.SignalledAt.After(st.RequestedAt):
		s.log.Infof("%s sent to the app after %v", s.report.FirstSignal(), lastword.Round(st.SignalledAt.Sub(st.RequestedAt)))
	default:
		s.log.Debugf("%s from %s begins the stop", name, s.report.StopSender())
	}
}
