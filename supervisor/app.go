package supervisor

import (
	"time"

	"golang.org/x/sys/unix"

	"usher/signals"
	"usher/signals/entry"
	"usher/supervisor/ending"
	"usher/supervisor/event"
	"usher/supervisor/health"
	"usher/supervisor/lastword"
	"usher/supervisor/lifecycle"
	"usher/supervisor/process"
	"usher/supervisor/spawn"
	"usher/supervisor/terminal"
)

// app is what the loop knows of the app, which may be started several times.
type app struct {
	pid       int             // 0 before the start and after the end
	group     int             // its process group; 0 if there has been no app
	starting  *spawn.Starting // while execve(2) has not returned; nil otherwise
	startedAt time.Time
	refused   error          // why usher can't start an app; nil if it can
	stopped   bool           // stopped by a signal such as SIGTSTP
	woken     bool           // has got SIGCONT for the present item of the schedule
	health    *health.Health // checks since the last start
	kept      []keptSignal   // signals that arrived before the app was started
}

// keptSignal is a signal that arrived before the app was started, and the
// signal that the app will get for it.
type keptSignal struct {
	event   signals.Event
	deliver signals.Signal
}

// startApp starts the app, for the first time or again.
func (s *Supervisor) startApp() {
	entry.Running = true
	if restarts := s.life.Progress().Restarts; restarts > 0 {
		s.ending.Restarts++
		if restarts == 1 { // later restarts wait, and RestartDelayed has been logged
			s.emit(event.Event{Kind: event.RestartedAtOnce, ExitCode: s.ending.ExitCode()})
		}
		s.writeAhead() // replaces the record of the last run
		s.app.health = s.view.NewHealth()
		s.ending.Steps = nil
		s.job.Hand(s.app.group, unix.Getpgrp()) // the last run's process group still has the terminal
	}
	s.app.stopped, s.app.woken, s.ending.Run = false, false, ending.Run{}
	if err := s.start(); err != nil {
		s.startFailed(err)
		return
	}
	if s.app.starting == nil {
		s.appStarted()
	}
}

// checkPending looks for children that have executed their programs since the
// last look. If that failed in a child, usher handles it when it reaps the
// child.
func (s *Supervisor) checkPending() {
	s.children.pending.Check()
	if l := s.app.starting; l != nil && l.Wait(0) && l.Err == nil {
		s.app.starting = nil
		s.app.startedAt = time.Now()
		s.emit(event.Event{Kind: event.AppExecuted, Command: s.config.Command[0], PID: s.app.pid})
		s.appStarted()
	}
}

// appStarted is called when the app's program has begun.
func (s *Supervisor) appStarted() {
	s.view.Counters.Starts.Add(1)
	if s.config.LeavesDirectory() {
		_ = unix.Chdir("/")
	}
	if s.config.Any() || s.notify != nil {
		h := s.app.health
		go s.view.LogChanges(h, s.app.startedAt)
		go h.Run(s.app.startedAt, func(check, failure string) { s.unhealthy(h, check, failure) })
	}
	for i := range s.app.kept {
		s.forward(lifecycle.Action{Signal: &s.app.kept[i].event, Deliver: s.app.kept[i].deliver})
	}
	s.app.kept = nil
	if s.word.Log != nil && s.ending.Restarts == 0 {
		if s.memory.Foresee() {
			s.writeAhead()
		}
	}
	s.step(&lifecycle.Event{Kind: lifecycle.AppStarted, At: s.app.startedAt})
}

func (s *Supervisor) start() error {
	name := s.config.Command[0]
	s.app.startedAt = time.Now()
	if pid := entry.App(); pid != 0 { // there is no terminal then, and no --restart
		s.job.TTY = terminal.None()
		s.setApp(pid)
		return nil
	}
	if s.app.refused != nil {
		return s.app.refused
	}
	entry.Raise()
	defer entry.Restore()
	env := s.config.Env
	if s.user != nil {
		s.user.GiveStdio()
		env = s.user.WithHome(env)
	}
	if s.config.Session {
		s.job.ReleaseTerminal()
	} else {
		s.job.TTY = terminal.Open()
	}
	env = s.notify.Env(env)
	foreground := -1                        // the terminal that the app gets; -1 if it gets none
	if s.job.IsForeground(unix.Getpgrp()) { // an usher in the background leaves it alone
		foreground = s.job.FD
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
		User:      s.user,

		NoNewPrivs: s.config.NoNewPrivs,
	})
	if err != nil {
		return err
	}
	if s.children.pending.Add(l, s.self) {
		if l.Err != nil {
			return l.Err
		}
	} else {
		s.app.starting = l
	}
	s.setApp(l.PID)
	return nil
}

// setApp makes pid the app.
func (s *Supervisor) setApp(pid int) {
	s.app.pid, s.app.group, s.children.none = pid, pid, false
	s.emit(event.Event{Kind: event.AppStarted, Command: s.config.Command[0], PID: pid})
}

// startFailed reports that the app could not be started.
func (s *Supervisor) startFailed(err error) {
	x := s.commands.Explain(s.config.Command, err)
	if s.config.StartCode != 0 {
		x.Code = s.config.StartCode
	}
	s.emit(event.Event{Kind: event.StartFailed, Message: x.Why, ExitCode: x.Code})
	if x.Hint != "" {
		s.emit(event.Event{Kind: event.Hint, Message: x.Hint})
	}
	s.ending.Run.Fatal = &lastword.Record{Reason: lastword.StartError, Message: x.Why, Hint: x.Hint, ExitCode: x.Code}
	// An app that was started once may start again later: its file is being
	// replaced, or memory has run out for a while.
	s.step(&lifecycle.Event{Kind: lifecycle.AppEnded, At: time.Now(), Failed: true, Final: s.ending.Restarts == 0,
		Last: process.Alone(s.self, s.children.none)})
}
