package supervisor

import (
	"time"

	"golang.org/x/sys/unix"

	"usher/signals"
)

// noLimit is the time that something has which may take as long as it needs.
const noLimit = time.Duration(1<<63 - 1)

// timing is all that the decisions depend on and that does not change. What a stop gets is counted from its first signal, t0.
type timing struct {
	prepare   []time.Duration // how long each preparation for the app may take, or noLimit
	postStart time.Duration   // how long that hook may take, or noLimit; 0 is no such hook
	preStop   time.Duration
	postStop  time.Duration

	hold     time.Duration // how long the signal is held back; 0 is not at all
	drain    time.Duration // how long the app may then take to answer what it has been asked
	schedule Schedule
	limit    time.Duration // when the app and what it leaves behind get SIGKILL, from t0; 0 is never
	end      time.Duration // when nothing may run any more, from t0; 0 is not known
	tail     time.Duration // when the reader of stderr has had its time, from t0; 0 is not known
	// stragglers is how long what outlives the app has between SIGTERM and SIGKILL, whether or not there is a stop.
	stragglers time.Duration

	stopSignal signals.Signal // what the app gets where usher itself wants it to stop
	restart    RestartPolicy
	restartMax int // 0 is no limit
}

// clearTime is how long usher waits for what it has sent SIGKILL: it takes the kernel a moment, or for ever where a process hangs in
// a system call that can't be interrupted. Where the app is to be started again it waits longer: what is left may hold the app's port.
const (
	clearTime   = 250 * time.Millisecond
	restartTime = 5 * time.Second
)

// stop is where usher is, and how it came there. Its zero value with a timing is about to prepare.
type stop struct {
	timing   timing
	phase    phase
	since    time.Time // when this phase began, or the hook in it
	deadline time.Time // of this phase; zero is none
	hooked   bool      // a hook is at work

	done     int       // preparations that are
	started  time.Time // when the app was, or was to be, the last time
	over     time.Time // when the app was gone
	failed   bool      // the app's end was no success
	final    bool      // the app is not started again, whatever the policy
	restarts int       // in a row

	actions  []action      // of the step at hand
	signal   signals.Event // the one that began the stop
	cause    string        // where it was no signal
	retry    bool          // the app may be started again afterwards
	began    time.Time     // when it came
	told     time.Time     // when the app got it
	let      bool          // the hold is over, or there was none
	held     time.Duration // how long it was
	holdOver string        // why it ended early, or that there was none
	calm     bool          // it ended early because traffic was quiet
	item     int           // of the schedule
	killed   time.Time     // when SIGKILL was sent
}

// within is the moment d after at, in the stop's budget, which ends at until after t0. Zero is no limit.
func (s *stop) within(at time.Time, d, until time.Duration) time.Time {
	var t time.Time
	if d != noLimit {
		t = at.Add(d)
	}
	if !s.began.IsZero() && until > 0 {
		if end := s.began.Add(until); t.IsZero() || end.Before(t) {
			t = end
		}
	}
	return t
}

// enter changes to a phase that may take d.
//
//go:noinline
func (s *stop) enter(p phase, at time.Time, d, until time.Duration) {
	s.phase, s.since, s.deadline = p, at, s.within(at, d, until)
}

// note takes down what began the stop: t0 of the contract.
//
//go:noinline
func (s *stop) note(e *event) {
	if s.began.IsZero() {
		s.signal, s.cause, s.began = *e.signal, e.cause, e.at
	}
}

// begin is a stop of a running app.
func (s *stop) begin(e *event) {
	s.note(e)
	s.endHook(abandon)
	switch {
	case e.noHold != "":
		s.holdOver = e.noHold
		s.leave(e)
	case s.timing.hold > 0:
		s.enter(holding, e.at, s.timing.hold, s.timing.limit)
		s.do(writeWord)
	default:
		s.drain(e)
	}
}

// hurry: whoever asks a second time does not want to wait.
func (s *stop) hurry(e *event) {
	if s.phase == holding {
		s.holdOver = "second " + signals.Name(e.signal.Signal)
		if e.cause != "" {
			s.holdOver = e.cause
		}
	}
	s.leave(e)
}

func (s *stop) holdQuiet(e *event) {
	s.calm = true
	s.drain(e)
}

func (s *stop) letGo(e *event) {
	if !s.let {
		s.let, s.held = true, e.at.Sub(s.began)
	}
}

// drain follows the hold.
func (s *stop) drain(e *event) {
	s.letGo(e)
	if s.timing.drain == 0 {
		s.leave(e)
		return
	}
	s.enter(draining, e.at, s.timing.drain, s.timing.limit)
	s.do(writeWord)
}

// leave ends the time in which the app goes on as if nothing were.
//
//go:noinline
func (s *stop) leave(e *event) {
	s.letGo(e)
	if s.timing.preStop == 0 {
		s.tell(e)
		return
	}
	s.enter(leaving, e.at, s.timing.preStop, s.timing.limit)
	s.do(writeWord)
	s.beginHook(preStop)
}

func (s *stop) hurryHook(e *event) {
	s.endHook(abandon)
	s.tell(e)
}

func (s *stop) preStopLate(e *event) {
	s.endHook(expire)
	s.tell(e)
}

// tell begins the schedule.
//
//go:noinline
func (s *stop) tell(e *event) {
	s.hooked, s.told = false, e.at
	s.follow(e)
	s.do(writeWord)
}

// follow carries out the schedule's present item. After the last one there is nothing to do but wait.
func (s *stop) follow(e *event) {
	item, ok := s.timing.schedule.at(s.item)
	if item.Signal == unix.SIGKILL {
		s.kill(e)
		return
	}
	if !ok {
		item.Wait = noLimit
	}
	s.enter(stopping, e.at, item.Wait, s.timing.limit)
	switch {
	case item.Signal != 0:
		s.act(action{verb: send, send: item.Signal})
	case ok:
		s.act(action{verb: forward, signal: &s.signal})
	}
}

// stepOn goes on in the schedule, unless all time is up.
func (s *stop) stepOn(e *event) {
	if limit := s.timing.limit; limit > 0 && !e.at.Before(s.began.Add(limit)) {
		s.kill(e)
		return
	}
	s.item++
	s.follow(e)
}

// extend gives the app, which has asked for it, more time before the next of the schedule, as far as there is any.
func (s *stop) extend(until time.Time) {
	if s.phase == stopping && until.After(s.deadline) && !s.deadline.IsZero() {
		s.deadline = s.within(until, 0, s.timing.limit)
	}
}

func (s *stop) kill(e *event) {
	s.enter(killing, e.at, noLimit, 0)
	s.killed = e.at
	s.do(kill)
	s.do(writeWord)
}

// unkillable: SIGKILL was refused. There is nothing to wait for.
func (s *stop) unkillable(at time.Time) {
	if s.phase == killing {
		s.deadline = at
	}
}

// surrender follows. With usher's own end the kernel kills the app as well, where usher is PID 1.
func (s *stop) surrender(e *event) {
	s.over, s.failed, s.final = e.at, true, true
	s.do(clear) // some of what else runs may be killed
	s.settled(e)
}

func (s *stop) pass(e *event) { s.act(action{verb: forward, signal: e.signal}) }

// gone: the app is, and what it has left behind has to go as well. As PID 1 usher's end would kill it without a warning, and so
// would a server behind `sh -c` die, whose shell is the app.
func (s *stop) gone(e *event) {
	spent := s.phase == killing
	s.over, s.failed, s.final = e.at, e.failed || s.retry, s.final || e.final
	s.endHook(abandon)
	switch {
	case e.last:
		s.settled(e)
	case spent || s.timing.stragglers == 0: // no time is left, or none wanted
		s.clear(e)
	default:
		s.enter(sweeping, e.at, s.timing.stragglers, s.timing.limit)
		if !s.began.IsZero() || s.timing.restart == RestartNo {
			s.do(writeWord)
		}
		s.do(sweep)
	}
}

// budget: the orchestrator has begun to count while stragglers still have time.
func (s *stop) budget(e *event) {
	s.note(e)
	s.deadline = s.within(e.at, s.deadline.Sub(e.at), s.timing.limit)
}

func (s *stop) clear(e *event) {
	s.enter(clearing, e.at, clearTime, 0)
	if s.again() {
		s.deadline = e.at.Add(restartTime)
	}
	s.do(clear)
}

// hurryClear: nothing is started again, so that less depends on what is left.
func (s *stop) hurryClear(e *event) {
	s.note(e)
	if soon := e.at.Add(clearTime); soon.Before(s.deadline) {
		s.deadline = soon
	}
}

// settled: nothing runs any more.
func (s *stop) settled(e *event) {
	switch {
	case s.again():
		s.phase, s.deadline = backingOff, s.over.Add(s.backOff())
		s.restarts++
		if !e.at.Before(s.deadline) {
			s.restart(e)
		}
	case s.timing.postStop > 0:
		s.enter(cleaning, e.at, s.timing.postStop, s.timing.end)
		s.beginHook(postStop)
	default:
		s.end(e)
	}
}

func (s *stop) restart(e *event) {
	s.over = time.Time{}
	if s.retry {
		s.forget()
	}
	s.open(e.at)
}

// forget is for a stop that usher itself has asked for, and that is over.
func (s *stop) forget() {
	s.signal, s.cause, s.retry, s.holdOver, s.item = signals.Event{}, "", false, "", 0
	s.began, s.told, s.killed = time.Time{}, time.Time{}, time.Time{}
}

func (s *stop) forgoRestart(e *event) {
	s.note(e)
	s.settled(e)
}

// hurryEnd: the budget counts for the post-stop hook as well; a second signal ends it.
func (s *stop) hurryEnd(e *event) {
	if !s.began.IsZero() {
		s.endHook(abandon)
		s.end(e)
		return
	}
	s.note(e)
	s.deadline = s.within(e.at, s.deadline.Sub(e.at), s.timing.end)
}

func (s *stop) postStopLate(e *event) {
	s.endHook(expire)
	s.end(e)
}

func (s *stop) end(*event) {
	s.phase, s.deadline, s.hooked = ended, time.Time{}, false
	s.do(finish)
}
