// Package supervisor runs an app: it starts the app, forwards signals to it, reaps
// all processes that end, stops the app in an orderly way, and says why it ended.
//
// It is the loop, and has what can't stand alone. The packages below it do the rest.
package supervisor

import (
	"time"

	"golang.org/x/sys/unix"

	"usher/healthz"
	"usher/healthz/socket"
	"usher/signals"
	"usher/signals/entry"
	"usher/supervisor/command"
	"usher/supervisor/config"
	"usher/supervisor/event"
	"usher/supervisor/goruntime"
	"usher/supervisor/lastword"
	"usher/supervisor/lifecycle"
	"usher/supervisor/memory"
	"usher/supervisor/probe"
	"usher/supervisor/process"
	"usher/supervisor/report"
	"usher/supervisor/spawn"
	"usher/supervisor/tail"
	"usher/supervisor/terminal"
	"usher/supervisor/timeline"
)

// Logger takes usher's events. It must not block.
type Logger interface {
	Event(e *event.Event)
	// Keep has all events put in a timeline, too, even those that are not shown.
	Keep(t *timeline.Timeline)
	// What has no event of its own.
	Errorf(format string, args ...any)
	Infof(format string, args ...any)
	Debugf(format string, args ...any)
	// Verbose reports whether Debugf goes anywhere.
	Verbose() bool
	// Output takes what the command of that name has written, whole lines.
	Output(name, lines string)
	// Stalled reports whether there is little room for more Output.
	Stalled() bool
}

// Supervisor is one run of one app. All of it belongs to the loop, but for what says
// otherwise.
type Supervisor struct {
	config config.Config
	source signals.Source
	log    Logger
	self   int             // usher's pid
	as     *spawn.Identity // the user that the app runs as; nil is usher's own

	life     *lifecycle.Machine
	timing   lifecycle.Timing
	app      app
	job      terminal.Job
	children children
	arrival  arrival
	commands command.Runner
	hook     *hookRun // at work; nil is none
	settled  bool     // the heap is kept small

	report report.Report
	word   lastword.Pen
	memory *memory.Shortage
	tail   *tail.Tail // of the app's stderr; nil is none

	view    probe.View      // what probe requests read
	server  *healthz.Server // of the endpoints; nil if there are none
	notify  *probe.Notify   // the app's NOTIFY_SOCKET; nil if no message is of use
	traffic watched
	posts   posts // any goroutine's
}

// New makes a Supervisor of a valid Config. It does what can fail before the app is
// started: it listens.
func New(config config.Config, source signals.Source, log Logger) (*Supervisor, error) {
	s := &Supervisor{config: config, source: source, log: log, self: unix.Getpid()}
	c := &s.config
	if len(c.HealthAddrs) > 0 || c.TerminationJSON || log.Verbose() {
		s.view.Timeline = timeline.New(time.Now())
		log.Keep(s.view.Timeline)
	}
	s.view.AppendFlags = c.AppendFlags
	options := c.Lifecycle()
	s.timing = options.Timing()
	s.life = lifecycle.New(s.timing)
	s.memory = memory.New(s.self, log)
	s.job.Self, s.job.Log = s.self, log
	r := &s.report
	r.Life, r.Timing, r.ExitCodes = s.life, &s.timing, c.ExitCodes
	b := &s.commands
	b.Self, b.Log, b.Env, b.NoNewPrivs, b.NoTimers = s.self, log, c.Env, c.NoNewPrivs, !c.Besides()
	b.Pending, b.Source, b.Post = &s.children.pending, source, s.post
	b.Wanted = func() bool { return s.life.Phase().Alive() || s.life.Phase() == lifecycle.Preparing }
	b.Started = func() { s.children.none = false }
	if c.Watches() {
		s.traffic.ports = &socket.Ports{}
	}
	if !b.NoTimers {
		if err := signals.OpenPoller(); err != nil {
			return nil, err
		}
	}
	s.view.Settings, s.view.Log, s.view.Memory, s.view.Watches = &c.Settings, log, s.memory, s.traffic.ports != nil
	if c.User != "" {
		var err error
		entry.Raise()
		s.as, err = spawn.LookUp(c.User)
		entry.Restore()
		if err != nil {
			return nil, err
		}
		b.User = s.as
	}
	s.prepareChecks()
	if err := s.listen(); err != nil {
		s.close()
		return nil, err
	}
	s.app.health = s.view.NewHealth()
	s.publish()
	return s, nil
}

// appUID returns the uid that the app runs as, or -1 if it is usher's own.
func (s *Supervisor) appUID() int {
	if s.as == nil {
		return -1
	}
	return int(s.as.UID)
}

// Run starts the app, stays until the app's end, and returns usher's exit code. It
// has to be called on the main thread, locked. Once the app is started, Run returns
// at the app's end only: the end of PID 1 takes the container with it.
func (s *Supervisor) Run() int {
	if s.self != 1 {
		// Orphans come to us as they would to PID 1. Kernels before 3.4 can't.
		if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
			s.log.Debugf("cannot become a subreaper: %v", err)
		}
	}
	if sig := s.config.ParentDeathSignal; sig != 0 {
		if err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(sig), 0, 0, 0); err != nil {
			s.log.Errorf("cannot ask for %s at the parent's death: %v", signals.Name(sig), err)
		}
	}
	defer s.close()
	if s.config.Pause {
		return s.pause()
	}
	running := entry.App() != 0 // already, with the threads that usher may need then
	busy := 0
	if n := s.config.TerminationTail; n > 0 {
		if s.tail = tail.New(n, s.appUID(), s.log); s.tail != nil {
			busy = 1
		}
	}
	threads := entry.PlainThreads + 3*busy // one that is in a system call, one that runs, and one on its way to sleep
	if s.notify != nil || s.config.Besides() {
		threads++
	}
	threads += s.config.LookUps() + s.findWord(running)
	if !running {
		s.app.refused = goruntime.Reserve(threads)
		var err error
		if s.children.none, err = process.Reap(nil); err != nil { // of whoever became usher
			s.app.refused = err
		}
		if err = goruntime.MemoryLeft(); err != nil {
			s.app.refused = err
		}
	}
	if s.app.refused == nil {
		goruntime.UseCPUs(1 + busy)
	} else { // nothing is done for an app that won't be started, and nothing that takes one more thread
		s.tail = nil
		s.life.SkipHooks()
		s.word.Alone()
	}
	s.complain(s.word.Begin())
	s.act(s.life.Begin(time.Now()))
	s.publish()
	s.serve()
	s.memory.Begin(s.app.startedAt)
	for s.life.Phase() != lifecycle.Ended {
		s.turn()
	}
	s.job.Hand(s.app.group, unix.Getpgrp()) // whoever called usher goes on with its terminal
	return s.report.ExitCode()
}
