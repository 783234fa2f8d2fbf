package supervisor

import (
	"time"

	"usher/signals"
)

// The stop, and nothing but its decisions: what happens, and when, against where usher is. No clock, no system call.

// phase is where usher is. What the stop gets between its phases (a drain, hooks, a schedule) are further rows of the table.
type phase uint8

const (
	running  phase = iota // nobody has asked for a stop
	holding               // a stop signal is held back from the app, which keeps serving
	stopping              // the app has been told
	killing               // the app has been sent SIGKILL
	sweeping              // the app is gone, and what else still runs has been told
	clearing              // what else still runs has been sent SIGKILL
	ended                 // nothing runs any more
	phases
)

func (p phase) String() string {
	return [phases]string{"running", "holding", "stopping", "killing", "sweeping", "clearing", "ended"}[p]
}

// alive is whether there is an app in this phase.
func (p phase) alive() bool { return p <= killing }

// happening is what a phase has to have an answer to.
type happening uint8

const (
	stopAsked  happening = iota // a stop signal has arrived
	signalled                   // another signal has arrived
	timeUp                      // stop.deadline has passed
	appEnded                    // the app has exited or was killed
	nobodyLeft                  // nothing but usher runs any more
	happenings
)

// event is a happening and what it came with.
type event struct {
	kind   happening
	at     time.Time
	signal signals.Event // stopAsked, signalled
	noHold string        // stopAsked: why there is nothing to hold for, "" if there is
	last   bool          // appEnded: nothing but usher runs any more
}

// verb is what the loop is to do.
type verb uint8

const (
	forward   verb = iota // send the app the signal, rewritten
	kill                  // send the app SIGKILL
	writeWord             // write the reason so far to the termination log
	sweep                 // send whatever else runs SIGTERM
	clear                 // send whatever else runs SIGKILL
	finish                // write the last word and end
)

type action struct {
	verb   verb
	signal signals.Event // forward
}

// timing is the stop's budget, counted from its first signal.
type timing struct {
	hold time.Duration // how long the signal is held back; 0 is not at all
	kill time.Duration // when SIGKILL is due; 0 is never
	// stragglers is how long what outlives the app has between SIGTERM and SIGKILL, whether or not there is a stop.
	stragglers time.Duration
}

// clearTime is how long usher waits for what it has sent SIGKILL: it takes the kernel a moment, or for ever where a process hangs in
// a system call that can't be interrupted.
const clearTime = 250 * time.Millisecond

// stop is one stop: where it is and how it went.
type stop struct {
	timing   timing
	phase    phase
	deadline time.Time // of this phase; zero is none

	signal   signals.Event // the one that began it
	began    time.Time     // when it came
	told     time.Time     // when the app got it
	holdOver string        // why the hold ended, or that there was none
	killed   time.Time     // when SIGKILL was sent
	over     time.Time     // when the app was gone
}

// table has an answer for every happening in every phase.
var table = [phases][happenings]func(*stop, event) []action{
	running:  {stopAsked: (*stop).begin, signalled: (*stop).pass, timeUp: (*stop).nothing, appEnded: (*stop).gone, nobodyLeft: (*stop).nothing},
	holding:  {stopAsked: (*stop).hurry, signalled: (*stop).pass, timeUp: (*stop).holdDone, appEnded: (*stop).gone, nobodyLeft: (*stop).nothing},
	stopping: {stopAsked: (*stop).pass, signalled: (*stop).pass, timeUp: (*stop).kill, appEnded: (*stop).gone, nobodyLeft: (*stop).nothing},
	killing:  {stopAsked: (*stop).nothing, signalled: (*stop).nothing, timeUp: (*stop).nothing, appEnded: (*stop).gone, nobodyLeft: (*stop).nothing},
	sweeping: {stopAsked: (*stop).budget, signalled: (*stop).nothing, timeUp: (*stop).clear, appEnded: (*stop).nothing, nobodyLeft: (*stop).end},
	clearing: {stopAsked: (*stop).nothing, signalled: (*stop).nothing, timeUp: (*stop).end, appEnded: (*stop).nothing, nobodyLeft: (*stop).end},
	ended:    {stopAsked: (*stop).nothing, signalled: (*stop).nothing, timeUp: (*stop).nothing, appEnded: (*stop).nothing, nobodyLeft: (*stop).nothing},
}

// step takes an event and returns what to do about it, in order. Time that is not up is no event.
func (s *stop) step(e event) []action {
	if e.kind == timeUp && (s.deadline.IsZero() || e.at.Before(s.deadline)) {
		return nil
	}
	return table[s.phase][e.kind](s, e)
}

// begin is t0 of the contract.
func (s *stop) begin(e event) []action {
	s.signal, s.began = e.signal, e.at
	switch {
	case e.noHold != "":
		s.holdOver = e.noHold
	case s.timing.hold > 0:
		s.phase, s.deadline = holding, e.at.Add(s.timing.hold)
		return []action{{verb: writeWord}}
	}
	return s.tell(e)
}

// hurry: whoever asks a second time does not want to wait.
func (s *stop) hurry(e event) []action {
	s.holdOver = "second " + signals.Name(e.signal.Signal)
	return s.tell(e)
}

func (s *stop) holdDone(e event) []action { return s.tell(e) }

// tell ends the hold: the app gets the signal that began the stop.
func (s *stop) tell(e event) []action {
	s.phase, s.told, s.deadline = stopping, e.at, time.Time{}
	if s.timing.kill > 0 {
		s.deadline = s.began.Add(s.timing.kill)
	}
	return []action{{verb: forward, signal: s.signal}, {verb: writeWord}}
}

func (s *stop) kill(e event) []action {
	s.phase, s.killed, s.deadline = killing, e.at, time.Time{}
	return []action{{verb: kill}, {verb: writeWord}}
}

func (s *stop) pass(e event) []action { return []action{{verb: forward, signal: e.signal}} }

func (s *stop) nothing(event) []action { return nil }

// gone: the app is, and what it has left behind has to go as well. As PID 1 usher's end would kill it without a warning, and so
// would a server behind `sh -c` die, whose shell is the app.
func (s *stop) gone(e event) []action {
	s.over = e.at
	switch {
	case e.last:
		return s.end(e)
	case s.phase == killing || s.timing.stragglers == 0: // no time is left, or none wanted
		return s.clear(e)
	}
	s.phase, s.deadline = sweeping, e.at.Add(s.timing.stragglers)
	if s.timing.kill > 0 && !s.began.IsZero() {
		s.deadline = earliest(s.deadline, s.began.Add(s.timing.kill))
	}
	return []action{{verb: writeWord}, {verb: sweep}}
}

// budget: the orchestrator has begun to count while stragglers still have time.
func (s *stop) budget(e event) []action {
	if s.timing.kill > 0 {
		s.deadline = earliest(s.deadline, e.at.Add(s.timing.kill))
	}
	return nil
}

func (s *stop) clear(e event) []action {
	s.phase, s.deadline = clearing, e.at.Add(clearTime)
	return []action{{verb: clear}}
}

func (s *stop) end(event) []action {
	s.phase, s.deadline = ended, time.Time{}
	return []action{{verb: finish}}
}

func earliest(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}
