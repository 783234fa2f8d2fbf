// Package supervisor runs an app as its only child that matters: it starts it, hands it its signals, reaps whatever dies, stops it
// in an orderly way and says why it ended.
package supervisor

import (
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"usher/healthz"
	"usher/healthz/socket"
	"usher/signals"
	"usher/signals/entry"
	"usher/supervisor/command"
	"usher/supervisor/exitcode"
	"usher/supervisor/explain"
	"usher/supervisor/lastword"
	"usher/supervisor/lifecycle"
	"usher/supervisor/memory"
	"usher/supervisor/probe"
	"usher/supervisor/process"
	"usher/supervisor/spawn"
	"usher/supervisor/tail"
	"usher/supervisor/terminal"
)

// Logger takes usher's events. It must not block.
type Logger interface {
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

// Supervisor is one run of one app.
type Supervisor struct {
	config Config
	source signals.Source
	log    Logger
	word   lastword.Pen
	view   probe.View
	health *probe.Health   // of this life of the app
	server *healthz.Server // of the endpoints; nil where there are none
	notify *probe.Notify   // the app's NOTIFY_SOCKET; nil where no message is of use
	as     *spawn.Identity // who the app runs as; nil is usher's own

	// The loop's own.
	self        int   // usher's pid
	unfit       error // why usher can't have an app
	life        *lifecycle.Machine
	timing      lifecycle.Timing
	pid         int             // of the app; 0 before its start and after its end
	appStarting *spawn.Starting // of the app, whose execve(2) has not returned yet; nil is none
	pending     spawn.Pending   // children that are about to execute their programs
	explain     *explain.Explainer
	group       int // the app's process group
	tty         terminal.TTY
	hangup      []signals.Signal // signals that the kernel is about to send for the release of the terminal
	stopped     bool             // by a signal such as SIGTSTP
	woken       bool             // for the stop
	childless   bool             // as of the last reap
	unreaped    bool             // the last reap has failed
	started     time.Time
	settled     bool            // the Go runtime
	status      unix.WaitStatus // the app's
	orphans     int
	commands    *command.Runner
	memory      *memory.Shortage
	ending      ending
	tail        *tail.Tail   // of the app's stderr; nil is none
	hook        *hookRun     // at work; nil is none
	kept        []keptSignal // for the app, which is not there yet
	restarted   int          // how often the app was started again

	// The signal at hand, and what it is to the stop: here, and not allocated for each of a flood.
	arrived signals.Event
	arrival lifecycle.Event

	// For the last word.
	fatal *lastword.Record // what kept the app from being started, or ended it; nil is the app's own end
	steps string           // what of the schedule the app was sent after the first signal
	notes string           // what else went wrong

	// For what looks at traffic, and from it.
	ports   *socket.Ports // of usher's own checks; nil where no stop looks at traffic
	watched atomic.Uint32 // the phase
	busy    atomic.Int32  // connections with unfinished business, at the last look
	drained string        // how the drain went

	posts posts
}

// New takes a valid Config, and does what can fail before the app is started: it listens.
func New(config Config, source signals.Source, log Logger) (*Supervisor, error) {
	s := &Supervisor{
		config: config,
		source: source,
		log:    log,
		self:   unix.Getpid(),
		timing: config.lifecycle().Timing(),

		memory: memory.New(unix.Getpid(), log),
	}
	s.life = lifecycle.New(s.timing)
	s.explain = &explain.Explainer{Env: config.Env, NoTimers: true}
	s.commands = &command.Runner{
		Self:       s.self,
		Log:        log,
		Env:        config.Env,
		NoNewPrivs: config.NoNewPrivs,
		Pending:    &s.pending,
		Explain:    s.explain,
		Source:     source,
		Post:       s.post,
		Wanted:     func() bool { return s.life.Phase().Alive() || s.life.Phase() == lifecycle.Preparing },
		Started:    func() { s.childless = false },
	}
	if config.watches() {
		s.ports = &socket.Ports{}
	}
	if config.besides() {
		s.explain.NoTimers = false
		if err := signals.OpenPoller(); err != nil {
			return nil, err
		}
	}
	s.view.Settings, s.view.Log, s.view.Memory, s.view.Watches = &s.config.Settings, log, s.memory, s.ports != nil
	if config.User != "" {
		var err error
		entry.Raise()
		s.as, err = spawn.LookUp(config.User)
		entry.Restore()
		if err != nil {
			return nil, err
		}
		s.commands.User, s.explain.User = s.as, s.as
	}
	s.prepareChecks()
	if err := s.listen(); err != nil {
		s.close()
		return nil, err
	}
	s.health = s.view.NewHealth()
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

// Run starts the app, stands by it until its end and returns usher's exit code. It has to be called on the main thread, locked.
// Once the app is started, nothing makes it return but the app's end: as PID 1 it would take the container with it.
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
	threads := 5 + 3*busy // one that is in a system call, one that runs, and one on its way to sleep
	if s.notify != nil || s.config.besides() {
		threads++
	}
	threads += s.config.lookUps() + s.findWord(running)
	if !running {
		s.unfit = reserve(threads)
		var err error
		if s.childless, err = process.Reap(func(process.Change) {}); err != nil { // of whoever became usher
			s.unfit = err
		}
		if err = memoryLeft(); err != nil {
			s.unfit = err
		}
	}
	if s.unfit == nil {
		useCPUs(1 + busy)
	} else { // nothing is done for an app that won't be started, and nothing that takes one more thread
		s.tail = nil
		s.life.SkipHooks()
		s.word.Alone()
	}
	s.report(s.word.Begin())
	s.act(s.life.Begin(time.Now()))
	s.publish()
	s.serve()
	s.memory.Begin(s.started)
	for s.life.Phase() != lifecycle.Ended {
		s.turn()
	}
	s.tty.Hand(s.group, unix.Getpgrp()) // whoever called usher goes on with its terminal
	return s.exitCode()
}

// execPoll is how often usher looks for processes that are nobody's children here, and whose end nobody reports, once the app is gone; and for
// its children, where it could not wait for them.
const execPoll = 10 * time.Millisecond

// turn waits for the next thing to happen and deals with it.
func (s *Supervisor) turn() {
	timeout := time.Duration(-1)
	if !s.life.Deadline().IsZero() {
		timeout = max(0, time.Until(s.life.Deadline()))
	}
	if s.life.Phase().Sweeps() && s.childless {
		timeout = min(timeout, execPoll)
	}
	if s.pending.Polled() && (timeout < 0 || timeout > execPoll) {
		timeout = execPoll
	}
	if next := s.commands.NextRead(); next >= 0 && (timeout < 0 || next < timeout) {
		timeout = next
	}
	if next := s.memory.Next(); !next.IsZero() && (timeout < 0 || time.Until(next) < timeout) {
		timeout = max(0, time.Until(next))
	}
	if s.unreaped && (timeout < 0 || timeout > execPoll) {
		timeout = execPoll
	}
	if !s.settled && (timeout < 0 || timeout > settleAfter) {
		timeout = settleAfter
	}
	e, ok := s.source.Wait(timeout)
	now := time.Now()
	if !s.settled && now.Sub(s.started) >= settleAfter {
		settle()
		s.settled = true
	}
	look := ok && e.Signal == unix.SIGCHLD
	if ok && !look {
		s.signalled(e, now)
	}
	if look {
		s.callPosted()
	}
	if !s.pending.Empty() {
		s.checkPending()
	}
	if look || s.unreaped {
		s.reap(now)
	}
	if look || s.commands.NextRead() >= 0 {
		s.commands.ReadOutputs()
	}
	if s.memory.Turn(now) && s.life.Phase().Alive() {
		s.writeAhead()
	}
	if s.life.Phase().Sweeps() && process.Alone(s.self, s.childless) {
		s.step(&lifecycle.Event{Kind: lifecycle.NobodyLeft, At: now})
	}
	// Also when something else has happened: a storm of signals must not put off what is due.
	if now := time.Now(); s.life.Due(now) {
		s.step(&lifecycle.Event{Kind: lifecycle.TimeUp, At: now})
	}
}

// reap collects the dead, and only then says that the app is among them: what it leaves behind is known then.
func (s *Supervisor) reap(now time.Time) {
	ended := false
	var failed, err error // of the app's start, that took longer, and of the reap itself
	s.childless, err = process.Reap(func(c process.Change) {
		switch {
		case s.commands.Changed(c.PID, c.Status):
		case c.PID != s.pid:
			if c.Status.Exited() || c.Status.Signaled() {
				s.orphans++
				if c.Status.Signaled() && c.Status.Signal() == unix.SIGKILL {
					s.memory.Killed(process.Proc{PID: c.PID})
				}
				s.view.Counters.Reaped.Add(1)
				if s.config.Orphan != nil && s.life.Phase().Alive() {
					s.config.Orphan(c.PID)
				}
			} else if c.Status.Stopped() && c.Status.StopSignal() == unix.SIGSTOP && s.life.Phase() == lifecycle.Sweeping {
				_ = unix.Kill(c.PID, unix.SIGCONT) // or it would never know that it was told to end
			}
		case c.Status.Stopped() && s.appStarting != nil && !s.appStarting.Wait(0):
			s.appStarting.Continue()
		case c.Status.Stopped():
			s.stopped = true
			if s.life.Phase() == lifecycle.Stopping {
				s.wake()
			} else {
				s.suspended(c.Status.StopSignal())
			}
		case c.Status.Continued():
			s.stopped = false
		default:
			s.pid = 0 // from here on the number may be anybody's
			if l := s.appStarting; l != nil {
				s.appStarting = nil
				if l.Wait(0) && l.Err != nil {
					failed = l.Err
					return
				}
			}
			s.status = c.Status
			s.ended(c)
			s.view.Counters.ExitCode.Store(int64(exitcode.Of(c.Status)))
			s.view.Counters.Ends.Add(1)
			ended = true
		}
	})
	if err != nil && !s.unreaped {
		s.log.Errorf("%v: tried again every %v", err, execPoll)
	}
	s.unreaped = err != nil
	switch {
	case failed != nil:
		if s.restarted == 0 {
			s.group = 0 // there has been no app
		}
		s.startFailed(failed)
	case ended:
		s.commands.KillAll()
		s.step(&lifecycle.Event{Kind: lifecycle.AppEnded, At: now, Failed: s.mapped(exitcode.Of(s.status)) != 0, Last: s.leavesStragglers() || process.Alone(s.self, s.childless)})
	}
}

func (s *Supervisor) signalled(e signals.Event, now time.Time) {
	if s.isHangup(e) {
		return
	}
	deliver := s.config.Rewrites.Apply(e.Signal)
	if deliver == 0 {
		s.log.Debugf("%s from %s swallowed", signals.Name(e.Signal), e.Sender)
		return
	}
	s.arrived = e
	woken := false
	switch e.Signal {
	case unix.SIGCONT:
		woken = s.resumed()
	case unix.SIGTSTP, unix.SIGTTIN, unix.SIGTTOU:
		s.tty.StopSent = true
		if s.config.StopSelf {
			defer s.stopSelf()
		}
	}
	// Where there is no app, Ctrl-C is for usher.
	if !slices.Contains(s.config.StopSignals, e.Signal) && !(e.Signal == unix.SIGINT && (s.life.Phase() == lifecycle.Preparing || s.life.Phase() == lifecycle.BackingOff)) {
		if woken && deliver == e.Signal {
			s.log.Debugf("%s from %s sent to the app and its process group", signals.Name(e.Signal), e.Sender)
			return // a second one could wake it from the next Ctrl-Z
		}
		s.arrival = lifecycle.Event{Kind: lifecycle.Signalled, At: now, Signal: &s.arrived, Deliver: deliver}
	} else {
		s.arrived.Sender = named(e.Sender)
		s.arrival = lifecycle.Event{Kind: lifecycle.StopRequested, At: now, Signal: &s.arrived, Deliver: deliver, NoHold: s.view.NoHold()}
	}
	s.step(&s.arrival)
}
