// Package supervisor runs an app: it starts the app, forwards signals to it,
// reaps all processes that end, stops the app in an orderly way, and says why
// it ended.
//
// This package is the loop, and what needs the loop. The packages below it do
// the rest.
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
	"usher/supervisor/ending"
	"usher/supervisor/event"
	"usher/supervisor/goruntime"
	"usher/supervisor/health"
	"usher/supervisor/lastword"
	"usher/supervisor/lifecycle"
	"usher/supervisor/memory"
	"usher/supervisor/process"
	"usher/supervisor/spawn"
	"usher/supervisor/tail"
	"usher/supervisor/terminal"
	"usher/supervisor/timeline"
)

// Logger receives usher's events. It must not block.
type Logger interface {
	Event(e *event.Event)
	// Keep adds all events to a timeline as well, even those that are not shown.
	Keep(t *timeline.Timeline)
	// These three log what has no event of its own.
	Errorf(format string, args ...any)
	Infof(format string, args ...any)
	Debugf(format string, args ...any)
	// Verbose reports whether Debugf goes anywhere.
	Verbose() bool
	// Output receives whole lines that the command of that name has written.
	Output(name, lines string)
	// Stalled reports whether there is little room for more Output.
	Stalled() bool
}

// Supervisor is one run of usher. All of it belongs to the loop, except where a
// comment says otherwise.
type Supervisor struct {
	config config.Config
	source signals.Source
	log    Logger
	self   int             // usher's pid
	user   *spawn.Identity // the user that the app runs as; nil means usher's own

	life     *lifecycle.Machine
	timing   lifecycle.Timing
	app      app
	job      terminal.Job
	children children
	arrival  arrival
	commands command.Runner
	hook     *hookRun // the running hook; nil if there is none
	settled  bool     // the heap is limited

	ending ending.Report
	word   lastword.Pen
	memory *memory.Shortage
	tail   *tail.Tail // reader of the app's stderr; nil if there is none

	view    health.View     // what probe requests read
	server  *healthz.Server // serves the endpoints; nil if there are none
	notify  *health.Notify  // the app's NOTIFY_SOCKET; nil if usher has no use for messages
	traffic watched
	posts   posts // any goroutine may use it
}

// New makes a Supervisor of a valid Config. It does what can fail before the
// app is started, such as opening sockets.
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
	r := &s.ending
	r.Life, r.Timing, r.ExitCodes = s.life, &s.timing, c.ExitCodes
	b := &s.commands
	b.Self, b.Log, b.Env, b.NoNewPrivs, b.NoTimers = s.self, log, c.Env, c.NoNewPrivs, !c.UsesGoroutines()
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
	s.view.Settings, s.view.Log, s.view.Memory = &c.Settings, log, s.memory
	s.view.Watches = s.traffic.ports != nil
	if c.User != "" {
		var err error
		entry.Raise()
		s.user, err = spawn.LookUp(c.User)
		entry.Restore()
		if err != nil {
			return nil, err
		}
		b.User = s.user
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

// appUID returns the uid that the app runs as, or -1 if that is usher's own.
func (s *Supervisor) appUID() int {
	if s.user == nil {
		return -1
	}
	return int(s.user.UID)
}

// becomeReaper has the kernel give usher all orphans, as it does for PID 1, and
// send a signal at the end of usher's parent, if one is wanted (prctl(2)).
func (s *Supervisor) becomeReaper() {
	if s.self != 1 {
		// usher adopts orphans, as PID 1 would. Kernels before 3.4 can't do that.
		if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
			s.log.Debugf("cannot become a subreaper: %v", err)
		}
	}
	if sig := s.config.ParentDeathSignal; sig != 0 {
		if err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(sig), 0, 0, 0); err != nil {
			s.log.Errorf("cannot ask for %s at the parent's death: %v", signals.Name(sig), err)
		}
	}
}

// Run starts the app, waits for its end, and returns usher's exit code. The
// caller has to be on the main thread, locked. Once the app is started, Run
// does not return before the app's end: the end of PID 1 would end the
// container.
func (s *Supervisor) Run() int {
	s.becomeReaper()
	defer s.close()
	if s.config.Pause {
		return s.pause()
	}
	running := entry.App() != 0 // the app runs already, and the threads that usher may need are there
	busy := 0
	if n := s.config.TerminationTail; n > 0 {
		if s.tail = tail.New(n, s.appUID(), s.log); s.tail != nil {
			busy = 1
		}
	}
	// The tail needs a thread that is in a system call, one that runs, and one on its
	// way to sleep.
	threads := entry.PlainThreads + 3*busy
	if s.notify != nil || s.config.UsesGoroutines() {
		threads++
	}
	threads += s.config.LookUps() + s.findWord(running)
	if !running {
		s.app.refused = goruntime.Reserve(threads)
		var err error
		// Children of the program that executed usher may have ended already.
		if s.children.none, err = process.Reap(nil); err != nil {
			s.app.refused = err
		}
		if err = goruntime.MemoryLeft(); err != nil {
			s.app.refused = err
		}
	}
	if s.app.refused == nil {
		goruntime.UseCPUs(1 + busy)
	} else { // the app won't be started, so do nothing for it, and nothing that needs a thread
		s.tail = nil
		s.life.SkipHooks()
		s.word.Alone()
	}
	s.logError(s.word.Begin())
	s.act(s.life.Begin(time.Now()))
	s.publish()
	s.serve()
	s.memory.Begin(s.app.startedAt)
	for s.life.Phase() != lifecycle.Ended {
		s.turn()
	}
	s.job.Hand(s.app.group, unix.Getpgrp()) // usher's caller goes on with its terminal
	return s.ending.ExitCode()
}
