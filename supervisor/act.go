package supervisor

import (
	"cmp"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"usher/signals"
	"usher/signals/entry"
	"usher/supervisor/lastword"
)

// step asks the stop what to do and does it.
func (s *Supervisor) step(e *event) {
	before := s.stop.phase
	actions := s.stop.step(e)
	if s.stop.phase != before {
		s.watched.Store(uint32(s.stop.phase))
		s.left(before, e)
		s.entered(e)
	}
	s.act(actions)
	if s.stop.phase != before || e.kind == hookEnded || e.kind == appStarted {
		s.publish()
	}
}

func (s *Supervisor) act(actions []action) {
	for _, a := range actions {
		switch a.verb {
		case prepare:
			s.prepare(s.stop.done)
		case launch:
			s.startApp()
		case save:
			s.keep(a.signal)
		case forward:
			if a.signal == &s.stop.signal {
				s.logTold()
			}
			s.forward(a.signal)
		case send:
			s.sendNext(a.send)
		case kill:
			s.killApp()
		case postStart:
			s.runHook("post-start", s.config.PostStart, true)
		case preStop:
			s.runHook("pre-stop", s.config.PreStop, false)
		case postStop:
			s.runHook("post-stop", s.config.PostStop, false)
		case expire:
			s.expireHook()
		case abandon:
			s.abandonHook()
		case disown:
			s.disownHook()
		case writeWord:
			s.write(s.record())
		case sweep:
			found := s.strangers(signalStragglers(s.self, s.group, unix.SIGTERM))
			s.log.Debugf("the app is gone, SIGTERM to what it leaves behind: %s", names(found))
		case clear:
			if found := s.strangers(signalStragglers(s.self, s.group, unix.SIGKILL)); len(found) > 0 {
				s.ending.killed = processes(found)
				s.log.Infof("the app is gone, SIGKILL to what it leaves behind: %s", names(found))
			}
		case finish:
			s.finish()
		}
	}
}

// entered logs a new phase.
func (s *Supervisor) entered(e *event) {
	st := &s.stop
	switch st.phase {
	case holding:
		if s.config.QuietPeriod == 0 {
			s.log.Infof("%s from %s, held back for %v", signals.Name(st.signal.Signal), st.sender(), st.timing.hold)
			break
		}
		s.log.Infof("%s from %s, held back until traffic has been quiet for %v, at most %v", signals.Name(st.signal.Signal), st.sender(), s.config.QuietPeriod, st.timing.hold)
		go s.watch(holding, st.began)
	case draining:
		go s.watch(draining, st.began)
		s.log.Infof("requests that are being answered may finish, within %v", st.timing.drain)
	case backingOff:
		s.log.Infof("%s; started again in %v", s.record(), lastword.Round(st.deadline.Sub(e.at)))
		s.write(s.record())
	case clearing, cleaning:
		s.write(s.record()) // the app's end: what is written so far has a stop that goes on
	}
}

// logTold is for the moment at which the app gets the first signal of the stop.
func (s *Supervisor) logTold() {
	st := &s.stop
	name := signals.Name(st.signal.Signal)
	switch {
	case st.holdOver != "" && st.timing.hold > 0:
		s.log.Infof("%s from %s, sent to the app without further delay: %s", name, st.sender(), st.holdOver)
	case st.told.After(st.began):
		s.log.Infof("%s sent to the app after %v", s.firstSignal(), lastword.Round(st.told.Sub(st.began)))
	default:
		s.log.Debugf("%s from %s begins the stop", name, st.sender())
	}
}

// firstSignal is the name of what the app is sent first in a stop.
func (s *Supervisor) firstSignal() string {
	sig := s.config.Rewrites.Apply(s.stop.signal.Signal)
	if item, _ := s.stop.timing.schedule.at(0); item.Signal != 0 {
		sig = item.Signal
	}
	return signals.Name(sig)
}

// sender is who asked for the stop.
func (s *stop) sender() string {
	if s.cause != "" {
		return "usher (" + s.cause + ")"
	}
	return s.signal.Sender.String()
}

// startApp starts the app, for the first time or again.
func (s *Supervisor) startApp() {
	entry.Running = true
	if s.stop.restarts > 0 {
		s.restarted++
		if s.stop.restarts == 1 { // the others have waited, and that has been said
			s.log.Infof("the app ended with exit code %d, started again at once", s.exitCode())
		}
		s.writeAhead() // in the place of what the last run has left
		s.health = s.newHealth()
		s.steps = ""
		s.tty.hand(s.group, unix.Getpgrp()) // the last run's group has it
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

// appStarted is called when the app's program has begun.
func (s *Supervisor) appStarted() {
	s.counters.starts.Add(1)
	if s.config.leavesDirectory() {
		_ = unix.Chdir("/")
	}
	if s.config.checks() || s.notify != nil {
		h := s.health
		go h.run(s.started, func(why string) { s.unhealthy(h, why) })
	}
	for i := range s.kept {
		s.forward(&s.kept[i])
	}
	s.kept = nil
	if s.word.log != nil && s.restarted == 0 {
		if s.memory.foresee(); s.memory.whole {
			s.writeAhead()
		}
	}
	s.step(&event{kind: appStarted, at: s.started})
}

func (s *Supervisor) start() error {
	name := s.config.Command[0]
	s.started = time.Now()
	if pid := entry.App(); pid != 0 { // which takes there being no terminal, and no --restart
		s.tty = tty{fd: -1}
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
		s.as.give()
		env = s.as.withHome(env)
	}
	if s.config.Session {
		s.letGo()
	} else {
		s.tty = openTTY()
	}
	env = s.notifyEnv(env)
	terminal := -1
	if s.tty.foreground(unix.Getpgrp()) { // an usher in the background leaves it alone
		terminal = s.tty.fd
	}
	stderr := 0
	if s.tail != nil {
		stderr = s.tail.w
	}
	l, err := spawn(&process{
		files:     candidates(name, s.config.Env),
		argv:      s.config.Command,
		env:       env,
		tty:       terminal,
		session:   s.config.Session,
		stderr:    stderr,
		inherited: s.source.Inherited(),
		as:        s.as,

		noNewPrivs: s.config.NoNewPrivs,
	})
	if err != nil {
		return err
	}
	if s.begun(l) {
		if l.err != nil {
			return l.err
		}
	} else {
		s.appStarting = l
	}
	s.runs(l.pid)
	s.log.Debugf("started %q, pid %d", name, l.pid)
	return nil
}

// runs makes pid the app.
func (s *Supervisor) runs(pid int) {
	s.pid, s.group, s.childless = pid, pid, false
}

// keep saves a signal for the app, as the kernel would for a process that blocks it: one of each standard signal, all real-time ones (signal(7)).
func (s *Supervisor) keep(e *signals.Event) {
	if e.Signal < signals.RTMin && slices.ContainsFunc(s.kept, func(k signals.Event) bool { return k.Signal == e.Signal }) {
		return
	}
	s.kept = append(s.kept, *e)
}

func (s *Supervisor) forward(e *signals.Event) {
	if s.appStarting != nil && s.stop.phase == running {
		s.keep(e) // for the program that is to come: the child that becomes it would die of most signals
		return
	}
	sig := s.config.Rewrites.Apply(e.Signal)
	if s.log.Verbose() {
		sender := e.Sender.String()
		if e == &s.stop.signal { // which may be usher's own
			sender = s.stop.sender()
		}
		s.log.Debugf("%s from %s sent to the app as %s", signals.Name(e.Signal), sender, signals.Name(sig))
	}
	s.send(e, sig)
	s.ending.forwarded, s.ending.forwardedAt = *e, time.Now()
	if s.stopped && s.stop.phase == stopping {
		s.wake()
	}
}

// sendNext sends what the schedule has.
func (s *Supervisor) sendNext(sig signals.Signal) {
	name := signals.Name(sig)
	if since := lastword.Round(time.Since(s.stop.began)); s.stop.item > 0 {
		s.steps += ", " + name + " after " + since.String()
		s.log.Infof("the app has not ended within %v: %s", since, name)
	} else {
		s.logTold()
	}
	s.woken = false
	s.signal(sig)
	if s.stopped {
		s.wake()
	}
}

func (s *Supervisor) killApp() {
	found := s.strangers(stragglers(s.self))
	s.ending.stillThere = processes(found)
	st := &s.stop
	s.log.Errorf("the app has not ended within %v of %s: SIGKILL to %s", lastword.Round(st.killed.Sub(st.began)), signals.Name(st.signal.Signal),
		cmp.Or(names(found), s.config.Command[0]))
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
	s.counters.forwarded[sig].Add(1)
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
			s.ending.phase = s.stop.phase
			s.notes += "; the app could not be killed: " + err.Error()
			s.stop.unkillable(time.Now())
		}
	}
}
