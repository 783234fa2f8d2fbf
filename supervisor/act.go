package supervisor

import (
	"cmp"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"usher/signals"
	"usher/signals/entry"
	"usher/supervisor/lastword"
	"usher/supervisor/lifecycle"
	"usher/supervisor/process"
	"usher/supervisor/spawn"
	"usher/supervisor/terminal"
)

// step asks the stop what to do and does it.
func (s *Supervisor) step(e *lifecycle.Event) {
	before := s.life.Phase()
	actions := s.life.Step(e)
	if s.life.Phase() != before {
		s.watched.Store(uint32(s.life.Phase()))
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
				s.logTold()
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
			s.abandonHook()
		case lifecycle.DetachHook:
			s.disownHook()
		case lifecycle.WriteAhead:
			s.write(s.record())
		case lifecycle.Sweep:
			found := s.withoutCommands(process.SignalStragglers(s.self, s.group, unix.SIGTERM))
			s.log.Debugf("the app is gone, SIGTERM to what it leaves behind: %s", process.Names(found))
		case lifecycle.Clear:
			if found := s.withoutCommands(process.SignalStragglers(s.self, s.group, unix.SIGKILL)); len(found) > 0 {
				s.ending.killed = processes(found)
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
		if s.config.QuietPeriod == 0 {
			s.log.Infof("%s from %s, held back for %v", signals.Name(st.Signal), s.stopSender(), s.timing.Hold)
			break
		}
		s.log.Infof("%s from %s, held back until traffic has been quiet for %v, at most %v", signals.Name(st.Signal), s.stopSender(), s.config.QuietPeriod, s.timing.Hold)
		go s.watch(lifecycle.Holding, st.RequestedAt)
	case lifecycle.Draining:
		go s.watch(lifecycle.Draining, st.RequestedAt)
		s.log.Infof("requests that are being answered may finish, within %v", s.timing.Drain)
	case lifecycle.BackingOff:
		s.log.Infof("%s; started again in %v", s.record(), lastword.Round(st.Deadline.Sub(e.At)))
		s.write(s.record())
	case lifecycle.Clearing, lifecycle.Cleaning:
		s.write(s.record()) // the app's end: what is written so far has a stop that goes on
	}
}

// logTold is for the moment at which the app gets the first signal of the stop.
func (s *Supervisor) logTold() {
	st := s.life.Progress()
	name := signals.Name(st.Signal)
	switch {
	case st.HoldReason != "" && s.timing.Hold > 0:
		s.log.Infof("%s from %s, sent to the app without further delay: %s", name, s.stopSender(), st.HoldReason)
	case st.SignalledAt.After(st.RequestedAt):
		s.log.Infof("%s sent to the app after %v", s.firstSignal(), lastword.Round(st.SignalledAt.Sub(st.RequestedAt)))
	default:
		s.log.Debugf("%s from %s begins the stop", name, s.stopSender())
	}
}

// firstSignal is the name of what the app is sent first in a stop.
func (s *Supervisor) firstSignal() string {
	sig := s.timing.Schedule.First()
	if sig == 0 {
		sig = s.life.Progress().Deliver
	}
	return signals.Name(sig)
}

// stopSender is who requested the stop.
func (s *Supervisor) stopSender() string {
	st := s.life.Progress()
	if st.Cause != "" {
		return "usher (" + st.Cause + ")"
	}
	return st.Sender.String()
}

// startApp starts the app, for the first time or again.
func (s *Supervisor) startApp() {
	entry.Running = true
	if s.life.Progress().Restarts > 0 {
		s.restarted++
		if s.life.Progress().Restarts == 1 { // the others have waited, and that has been said
			s.log.Infof("the app ended with exit code %d, started again at once", s.exitCode())
		}
		s.writeAhead() // in the place of what the last run has left
		s.health = s.view.NewHealth()
		s.steps = ""
		s.tty.Hand(s.group, unix.Getpgrp()) // the last run's group has it
	}
	s.stopped, s.woken, s.status, s.fatal, s.ending = false, false, 0, nil, ending{}
	if err := s.start(); err != nil {
		s.startFailed(err)
		return
	}
	if s.appStarting == nil {
		s.appStarted()
	}
}

// checkPending looks for children that have executed their programs meanwhile. A
// child that has failed to is handled when it has been reaped.
func (s *Supervisor) checkPending() {
	s.pending.Check()
	if l := s.appStarting; l != nil && l.Wait(0) && l.Err == nil {
		s.appStarting = nil
		s.started = time.Now()
		s.log.Debugf("the kernel has started %q at last", s.config.Command[0])
		s.appStarted()
	}
}

// appStarted is called when the app's program has begun.
func (s *Supervisor) appStarted() {
	s.view.Counters.Starts.Add(1)
	if s.config.leavesDirectory() {
		_ = unix.Chdir("/")
	}
	if s.config.Any() || s.notify != nil {
		h := s.health
		go s.view.Tell(h, s.started)
		go h.Run(s.started, func(why string) { s.unhealthy(h, why) })
	}
	for i := range s.kept {
		s.forward(lifecycle.Action{Signal: &s.kept[i].event, Deliver: s.kept[i].deliver})
	}
	s.kept = nil
	if s.word.Log != nil && s.restarted == 0 {
		if s.memory.Foresee() {
			s.writeAhead()
		}
	}
	s.step(&lifecycle.Event{Kind: lifecycle.AppStarted, At: s.started})
}

func (s *Supervisor) start() error {
	name := s.config.Command[0]
	s.started = time.Now()
	if pid := entry.App(); pid != 0 { // which takes there being no terminal, and no --restart
		s.tty = terminal.None()
		s.runs(pid)
		return nil
	}
	if s.unfit != nil {
		return s.unfit
	}
	entry.Raise()
	defer entry.Restore()
	env := s.config.Env
	if s.as != nil {
		s.as.GiveStdio()
		env = s.as.WithHome(env)
	}
	if s.config.Session {
		s.releaseTerminal()
	} else {
		s.tty = terminal.Open()
	}
	env = s.notify.Env(env)
	foreground := -1                        // the terminal that the app gets
	if s.tty.IsForeground(unix.Getpgrp()) { // an usher in the background leaves it alone
		foreground = s.tty.FD
	}
	stderr := 0
	if s.tail != nil {
		stderr = s.tail.FD
	}
	l, err := spawn.Start(&spawn.Process{
		Files:     spawn.Candidates(name, s.config.Env),
		Argv:      s.config.Command,
		Env:       env,
		TTY:       foreground,
		Session:   s.config.Session,
		Stderr:    stderr,
		Inherited: s.source.Inherited(),
		User:      s.as,

		NoNewPrivs: s.config.NoNewPrivs,
	})
	if err != nil {
		return err
	}
	if s.pending.Add(l, s.self) {
		if l.Err != nil {
			return l.Err
		}
	} else {
		s.appStarting = l
	}
	s.runs(l.PID)
	s.log.Debugf("started %q, pid %d", name, l.PID)
	return nil
}

// runs makes pid the app.
func (s *Supervisor) runs(pid int) {
	s.pid, s.group, s.childless = pid, pid, false
}

// keep saves a signal for the app, as the kernel would for a process that blocks it: one of each standard signal, all real-time ones (signal(7)).
func (s *Supervisor) keep(e *signals.Event, deliver signals.Signal) {
	if e.Signal < signals.RTMin && slices.ContainsFunc(s.kept, func(k keptSignal) bool { return k.event.Signal == e.Signal }) {
		return
	}
	s.kept = append(s.kept, keptSignal{*e, deliver})
}

// keptSignal is a signal for the app that is to come, and what it becomes.
type keptSignal struct {
	event   signals.Event
	deliver signals.Signal
}

// forward sends the app a signal that has arrived.
func (s *Supervisor) forward(a lifecycle.Action) {
	e, sig := a.Signal, a.Deliver
	if s.appStarting != nil && s.life.Phase() == lifecycle.Running {
		s.keep(e, sig) // for the program that is to come: the child that becomes it would die of most signals
		return
	}
	if s.log.Verbose() {
		sender := e.Sender.String()
		if a.First { // the stop's own, which may be usher's
			sender = s.stopSender()
		}
		s.log.Debugf("%s from %s sent to the app as %s", signals.Name(e.Signal), sender, signals.Name(sig))
	}
	s.send(e, sig)
	s.ending.forwarded, s.ending.delivered, s.ending.forwardedAt = *e, sig, time.Now()
	if s.stopped && s.life.Phase() == lifecycle.Stopping {
		s.wake()
	}
}

// sendNext sends what the schedule has.
func (s *Supervisor) sendNext(a lifecycle.Action) {
	name := signals.Name(a.Deliver)
	if since := lastword.Round(time.Since(s.life.Progress().RequestedAt)); !a.First {
		s.steps += ", " + name + " after " + since.String()
		s.log.Infof("the app has not ended within %v: %s", since, name)
	} else {
		s.logTold()
	}
	s.woken = false
	s.signal(a.Deliver)
	if s.stopped {
		s.wake()
	}
}

func (s *Supervisor) killApp() {
	found := s.withoutCommands(process.Stragglers(s.self))
	s.ending.stillThere = processes(found)
	st := s.life.Progress()
	s.log.Errorf("the app has not ended within %v of %s: SIGKILL to %s", lastword.Round(st.KilledAt.Sub(st.RequestedAt)), signals.Name(st.Signal),
		cmp.Or(process.Names(found), s.config.Command[0]))
	s.signal(unix.SIGKILL)
}

// wake sends SIGCONT to an app that has been told to stop and could not, because it is stopped. It does so once for each time it is told: one
// that stops again and again, at a terminal whose background it is in, would keep both busy.
func (s *Supervisor) wake() {
	if !s.woken {
		s.woken = true
		s.signal(unix.SIGCONT)
	}
}

// signal sends the app a signal of usher's own.
func (s *Supervisor) signal(sig signals.Signal) { s.send(&signals.Event{Signal: sig}, sig) }

// send is the only place that signals the app, on the goroutine that reaps: the pid can't be another process's by then.
func (s *Supervisor) send(e *signals.Event, sig signals.Signal) {
	if s.pid == 0 {
		return
	}
	s.view.Counters.Forwarded[sig].Add(1)
	err := unix.ESRCH
	if s.config.ProcessGroup {
		err, _ = e.Send(-s.pid, sig).(unix.Errno)
	}
	if err == unix.ESRCH || sig == unix.SIGKILL { // the app may have left its group
		err, _ = e.Send(s.pid, sig).(unix.Errno)
	}
	if err != 0 {
		s.log.Errorf("cannot send %s to the app: %v", signals.Name(sig), err)
		if sig == unix.SIGKILL && err != unix.ESRCH {
			s.status = unix.WaitStatus(unix.SIGKILL) // as what it will be seen, unless it ends after all
			s.ending.phase = s.life.Phase()
			s.notes += "; the app could not be killed: " + err.Error()
			s.life.KillRefused(time.Now())
		}
	}
}
