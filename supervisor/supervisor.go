// Package supervisor runs an app as its only child that matters: it starts it, hands it its signals, reaps whatever dies, stops it
// in an orderly way and says why it ended.
package supervisor

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"usher/healthz"
	"usher/signals"
	"usher/supervisor/lastword"
)

// Logger takes usher's events. It must not block.
type Logger interface {
	Errorf(format string, args ...any)
	Infof(format string, args ...any)
	Debugf(format string, args ...any)
	// Output takes what the command of that name has written, whole lines.
	Output(name, lines string)
	// Stalled reports whether there is little room for more Output.
	Stalled() bool
}

// Supervisor is one run of one app.
type Supervisor struct {
	config    Config
	source    signals.Source
	log       Logger
	word      *lastword.Log
	health    *health
	listeners []*healthz.Listener
	as        *identity // who the app runs as; nil is usher's own

	// The loop's own.
	self      int // usher's pid
	stop      stop
	pid       int // of the app; 0 before its start and after its end
	group     int // the app's process group
	tty       tty
	handOff   []signals.Signal // of the terminal: what is still to come of it
	stopped   bool             // by a signal such as SIGTSTP
	woken     bool             // for the stop
	childless bool             // as of the last reap
	started   time.Time
	status    unix.WaitStatus // the app's
	orphans   int
	commands  map[int]*command // that run, by pid
	outputs   []*output        // of commands, some of which may have ended
	memory    shortage
	ending    ending
	tail      *tail         // of the app's stderr; nil is none
	again     time.Duration // when to read them again; negative is when a signal says so

	// What others read: probe requests never reach the loop.
	snapshot atomic.Pointer[snapshot]
	// What others want done on the loop.
	posts struct {
		sync.Mutex
		queue []func()
	}
}

// stopSignals begin a stop.
var stopSignals = []signals.Signal{unix.SIGTERM}

// New takes a valid Config, and does what can fail before the app is started: it listens.
func New(config Config, source signals.Source, log Logger) (*Supervisor, error) {
	s := &Supervisor{
		config: config,
		source: source,
		log:    log,
		word:   lastword.NewLog(config.TerminationLog, config.CreateTerminationLog, config.TerminationJSON),
		self:   unix.Getpid(),
		stop:   stop{timing: config.timing()},

		memory:   shortage{self: unix.Getpid(), log: log, fd: -1},
		commands: map[int]*command{},
		again:    -1,
	}
	s.health = newHealth(&config.Checks, s.Exec)
	s.snapshot.Store(&snapshot{})
	if config.User != "" {
		var err error
		if s.as, err = lookUp(config.User); err != nil {
			return nil, err
		}
	}
	if config.checks() {
		// The first timer makes the runtime open descriptors, and it dies if there are none left. Better here than later.
		time.NewTimer(time.Hour).Stop()
	}
	for _, addr := range config.HealthAddrs {
		l, err := healthz.Listen(addr)
		if err != nil {
			s.close()
			return nil, err
		}
		s.listeners = append(s.listeners, l)
	}
	return s, nil
}

// close stops listening.
func (s *Supervisor) close() {
	for _, l := range s.listeners {
		l.Close()
	}
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
	s.word.Begin()
	busy := 0
	if n := s.config.TerminationTail; n > 0 {
		if s.tail = newTail(n, s.as, s.log); s.tail != nil {
			busy = 1
		}
	}
	reserve(threads + busy)
	if err := s.start(); err != nil {
		return s.startFailed(err)
	}
	settle(1 + busy)
	s.serve()
	s.memory.next = s.started.Add(memoryDelay)
	for s.stop.phase != ended {
		s.turn()
	}
	s.tty.hand(s.group, unix.Getpgrp()) // whoever called usher goes on with its terminal
	return s.exitCode()
}

func (s *Supervisor) start() error {
	name := s.config.Command[0]
	s.started = time.Now()
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
	terminal := -1
	if s.tty.foreground(unix.Getpgrp()) { // an usher in the background leaves it alone
		terminal = s.tty.fd
	}
	stderr := 0
	if s.tail != nil {
		stderr = s.tail.w
	}
	pid, err := start(&process{
		files:     candidates(name, s.config.Env),
		argv:      s.config.Command,
		env:       env,
		tty:       terminal,
		session:   s.config.Session,
		stderr:    stderr,
		inherited: s.source.Inherited(),
		as:        s.as,
	})
	if err != nil {
		return err
	}
	s.pid, s.group = pid, pid
	s.snapshot.Store(&snapshot{alive: true})
	s.log.Debugf("started %q, pid %d", name, pid)
	return nil
}

func (s *Supervisor) startFailed(err error) int {
	x := s.newExplainer()
	code := x.explain(s.config.Command, err)
	if s.config.StartCode != 0 {
		code = s.config.StartCode
	}
	s.log.Errorf("%s", x.why)
	if x.hint != "" {
		s.log.Errorf("hint: %s", x.hint)
	}
	s.write(&lastword.Record{Reason: lastword.StartError, Message: x.why, Hint: x.hint, ExitCode: code})
	return code
}

// serve starts what runs beside the loop. None of it touches the loop's state.
func (s *Supervisor) serve() {
	if s.tail != nil {
		go s.tail.run()
	}
	if s.config.checks() {
		go s.health.run(s.started)
	}
	if len(s.listeners) > 0 {
		server := healthz.NewServer(s.endpoints(), s.log.Errorf)
		for _, l := range s.listeners {
			go server.Serve(l)
		}
	}
}

// execPoll is how often usher looks for processes that are nobody's children here, and whose end nobody reports, once the app is gone.
const execPoll = 10 * time.Millisecond

// turn waits for the next thing to happen and deals with it.
func (s *Supervisor) turn() {
	timeout := time.Duration(-1)
	if !s.stop.deadline.IsZero() {
		timeout = max(0, time.Until(s.stop.deadline))
	}
	if !s.stop.phase.alive() && s.childless {
		timeout = min(timeout, execPoll)
	}
	if s.again >= 0 && (timeout < 0 || s.again < timeout) {
		timeout = s.again
	}
	if next := s.memory.next; !next.IsZero() && (timeout < 0 || time.Until(next) < timeout) {
		timeout = max(0, time.Until(next))
	}
	e, ok := s.source.Wait(timeout)
	now := time.Now()
	look := ok && e.Signal == unix.SIGCHLD
	switch {
	case look:
		s.posted()
		s.reap(now)
	case ok:
		s.signalled(e, now)
	}
	if look || s.again >= 0 {
		s.readOutputs()
	}
	if s.memory.turn(now) && s.stop.phase.alive() {
		s.writeAhead()
	}
	if !s.stop.phase.alive() && alone(s.self, s.childless) {
		s.step(event{kind: nobodyLeft, at: now})
	}
	// Also when something else has happened: a storm of signals must not put off what is due.
	s.step(event{kind: timeUp, at: time.Now()})
}

// reap collects the dead, and only then says that the app is among them: what it leaves behind is known then.
func (s *Supervisor) reap(now time.Time) {
	ended := false
	s.childless = reap(func(c change) {
		switch {
		case s.commands[c.pid] != nil:
			if c.status.Exited() || c.status.Signaled() {
				s.commandEnded(s.commands[c.pid], c.status, now)
			}
		case c.pid != s.pid:
			if c.status.Exited() || c.status.Signaled() {
				s.orphans++
				if c.status.Signaled() && c.status.Signal() == unix.SIGKILL {
					s.memory.look(proc{pid: c.pid})
				}
				if s.config.Orphan != nil && s.stop.phase.alive() {
					s.config.Orphan(c.pid)
				}
			}
		case c.status.Stopped():
			s.stopped = true
			if s.stop.phase == stopping {
				s.wake()
			} else {
				s.suspended(c.status.StopSignal())
			}
		case c.status.Continued():
			s.stopped = false
		default:
			s.pid = 0 // from here on the number may be anybody's
			s.status = c.status
			s.ended(c)
			ended = true
		}
	})
	if ended {
		s.killCommands()
		s.step(event{kind: appEnded, at: now, last: alone(s.self, s.childless)})
	}
}

func (s *Supervisor) signalled(e signals.Event, now time.Time) {
	if s.handedOff(e) {
		return
	}
	if s.config.Rewrites.Apply(e.Signal) == 0 {
		s.log.Debugf("%s from %s swallowed", signals.Name(e.Signal), e.Sender)
		return
	}
	switch e.Signal {
	case unix.SIGCONT:
		s.resumed()
	case unix.SIGTSTP, unix.SIGTTIN, unix.SIGTTOU:
		s.tty.asked = true
		if s.config.StopSelf {
			defer s.stopSelf()
		}
	}
	if !slices.Contains(stopSignals, e.Signal) {
		s.step(event{kind: signalled, at: now, signal: e})
		return
	}
	e.Sender = named(e.Sender)
	s.step(event{kind: stopAsked, at: now, signal: e, noHold: s.noHold()})
}

// step asks the stop what to do and does it.
func (s *Supervisor) step(e event) {
	before := s.stop.phase
	actions := s.stop.step(e)
	if s.stop.phase != before {
		s.entered(e)
	}
	for _, a := range actions {
		switch a.verb {
		case forward:
			s.forward(a.signal)
		case kill:
			s.ending.stillThere = processes(s.strangers(stragglers(s.self)))
			s.send(signals.Event{Signal: unix.SIGKILL}, unix.SIGKILL)
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

// entered publishes a new phase and logs it.
func (s *Supervisor) entered(e event) {
	st := &s.stop
	name := signals.Name(st.signal.Signal)
	switch st.phase {
	case holding:
		s.log.Infof("%s from %s, held back for %v", name, st.signal.Sender, st.timing.hold)
	case stopping:
		switch {
		case st.holdOver != "" && st.timing.hold > 0:
			s.log.Infof("%s from %s, sent to the app without further delay: %s", name, e.signal.Sender, st.holdOver)
		case e.kind == timeUp:
			s.log.Infof("%s sent to the app after %v", signals.Name(s.config.Rewrites.Apply(st.signal.Signal)), lastword.Round(st.told.Sub(st.began)))
		default:
			s.log.Debugf("%s from %s begins the stop", name, st.signal.Sender)
		}
	case killing:
		s.log.Errorf("the app has not ended within %v of %s: SIGKILL", lastword.Round(st.killed.Sub(st.began)), name)
	}
	if !st.began.IsZero() {
		s.health.stopping()
	}
	if !st.phase.alive() {
		s.health.ended()
	}
	s.snapshot.Store(&snapshot{alive: st.phase.alive(), stopping: st.began, signal: name})
}

func (s *Supervisor) forward(e signals.Event) {
	sig := s.config.Rewrites.Apply(e.Signal)
	s.log.Debugf("%s from %s sent to the app as %s", signals.Name(e.Signal), e.Sender, signals.Name(sig))
	s.send(e, sig)
	s.ending.forwarded = e
	if s.stopped && s.stop.phase == stopping {
		s.wake()
	}
}

// wake sends SIGCONT to an app that has been told to stop and could not, because it is stopped. It does so once: one that stops again
// and again, at a terminal whose background it is in, would keep both busy.
func (s *Supervisor) wake() {
	if !s.woken {
		s.woken = true
		s.send(signals.Event{Signal: unix.SIGCONT}, unix.SIGCONT)
	}
}

// send is the only place that kills, on the goroutine that reaps: the pid can't be another process's by then.
func (s *Supervisor) send(e signals.Event, sig signals.Signal) {
	if s.pid == 0 {
		return
	}
	err := unix.ESRCH
	if s.config.ProcessGroup {
		err, _ = e.Send(-s.pid, sig).(unix.Errno)
	}
	if err == unix.ESRCH || sig == unix.SIGKILL { // the app may have left its group
		err, _ = e.Send(s.pid, sig).(unix.Errno)
	}
	if err != 0 {
		s.log.Errorf("cannot send %s to the app: %v", signals.Name(sig), err)
	}
}
