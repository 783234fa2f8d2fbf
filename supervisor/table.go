package supervisor

import (
	"time"

	"usher/signals"
)

// The life of an app and its stop, and nothing but the decisions: what happens, and when, against where usher is. No clock, no system call.

// phase is where usher is.
type phase uint8

const (
	preparing  phase = iota // no app yet: what it waits for, and what has to be done before
	running                 // nobody has asked for a stop
	holding                 // a stop signal is held back from the app, which keeps serving
	draining                // what the app is still answering may finish
	leaving                 // the pre-stop hook is at work
	stopping                // the app has been told
	killing                 // the app has been sent SIGKILL
	sweeping                // the app is gone, and what else still runs has been told
	clearing                // what else still runs has been sent SIGKILL
	backingOff              // nothing runs, the app is to be started again
	cleaning                // nothing runs but the post-stop hook
	ended                   // nothing runs any more
	phases
)

func (p phase) String() string {
	return [phases]string{"preparing", "running", "holding", "draining", "leaving", "stopping", "killing", "sweeping", "clearing",
		"backing off", "cleaning", "ended"}[p]
}

// alive is whether there is an app in this phase.
func (p phase) alive() bool { return running <= p && p <= killing }

// serves is whether the app runs and has not been told of a stop.
func (p phase) serves() bool { return running <= p && p <= leaving }

// sweeps is whether usher waits for what the app has left behind.
func (p phase) sweeps() bool { return p == sweeping || p == clearing }

// happening is what a phase has to have an answer to.
type happening uint8

const (
	stopAsked  happening = iota // a stop signal has arrived, or usher itself wants the app to stop
	signalled                   // another signal has arrived
	timeUp                      // stop.deadline has passed
	hookEnded                   // the hook at work, or what is waited for, has come to its end
	appStarted                  // the app runs
	appEnded                    // the app has exited or was killed, or could not be started
	nobodyLeft                  // nothing but usher runs any more
	quiet                       // traffic has let go of the app
	drained                     // the app has answered all it was asked
	happenings
)

// event is a happening and what it came with.
type event struct {
	kind   happening
	at     time.Time
	signal *signals.Event // stopAsked, signalled
	cause  string         // stopAsked: why usher itself asks; "" for a signal
	noHold string         // stopAsked: why there is nothing to hold for, "" if there is
	retry  bool           // stopAsked: the app may be started again afterwards
	failed bool           // hookEnded, appEnded: not with success
	final  bool           // appEnded: it is not to be started again
	last   bool           // appEnded: nothing but usher runs any more
}

// verb is what the loop is to do.
type verb uint8

const (
	prepare   verb = iota // begin the preparation number stop.prepared
	launch                // start the app; the last action of a step
	save                  // keep the signal for the app
	forward               // send the app the signal, rewritten
	send                  // send the app the signal as it is
	kill                  // send the app SIGKILL
	postStart             // begin that hook
	preStop               //
	postStop              //
	expire                // the hook at work is out of time: kill it
	abandon               // the hook at work is of no use any more: kill it, whatever came of it
	disown                // …the same, but it is told and may finish as what the app leaves behind
	writeWord             // write the reason so far to the termination log
	sweep                 // send whatever else runs SIGTERM
	clear                 // send whatever else runs SIGKILL
	finish                // write the last word and end
)

type action struct {
	verb   verb
	signal *signals.Event // save, forward
	send   signals.Signal // send
}

func (s *stop) nothing(*event) {}

// table has an answer for every happening in every phase.
var table = [phases][happenings]func(*stop, *event){
	preparing: {stopAsked: (*stop).forgo, signalled: (*stop).keep, timeUp: (*stop).unprepared, hookEnded: (*stop).prepared, appStarted: (*stop).nothing,
		appEnded: (*stop).nothing, nobodyLeft: (*stop).nothing, quiet: (*stop).nothing, drained: (*stop).nothing},
	running: {stopAsked: (*stop).begin, signalled: (*stop).pass, timeUp: (*stop).postStartLate, hookEnded: (*stop).postStarted, appStarted: (*stop).startedUp,
		appEnded: (*stop).gone, nobodyLeft: (*stop).nothing, quiet: (*stop).nothing, drained: (*stop).nothing},
	holding: {stopAsked: (*stop).hurry, signalled: (*stop).pass, timeUp: (*stop).drain, hookEnded: (*stop).nothing, appStarted: (*stop).nothing,
		appEnded: (*stop).gone, nobodyLeft: (*stop).nothing, quiet: (*stop).holdQuiet, drained: (*stop).nothing},
	draining: {stopAsked: (*stop).hurry, signalled: (*stop).pass, timeUp: (*stop).leave, hookEnded: (*stop).nothing, appStarted: (*stop).nothing,
		appEnded: (*stop).gone, nobodyLeft: (*stop).nothing, quiet: (*stop).nothing, drained: (*stop).leave},
	leaving: {stopAsked: (*stop).hurryHook, signalled: (*stop).pass, timeUp: (*stop).preStopLate, hookEnded: (*stop).tell, appStarted: (*stop).nothing,
		appEnded: (*stop).gone, nobodyLeft: (*stop).nothing, quiet: (*stop).nothing, drained: (*stop).nothing},
	stopping: {stopAsked: (*stop).pass, signalled: (*stop).pass, timeUp: (*stop).stepOn, hookEnded: (*stop).nothing, appStarted: (*stop).nothing,
		appEnded: (*stop).gone, nobodyLeft: (*stop).nothing, quiet: (*stop).nothing, drained: (*stop).nothing},
	killing: {stopAsked: (*stop).nothing, signalled: (*stop).nothing, timeUp: (*stop).surrender, hookEnded: (*stop).nothing, appStarted: (*stop).nothing,
		appEnded: (*stop).gone, nobodyLeft: (*stop).nothing, quiet: (*stop).nothing, drained: (*stop).nothing},
	sweeping: {stopAsked: (*stop).budget, signalled: (*stop).nothing, timeUp: (*stop).clear, hookEnded: (*stop).nothing, appStarted: (*stop).nothing,
		appEnded: (*stop).nothing, nobodyLeft: (*stop).settled, quiet: (*stop).nothing, drained: (*stop).nothing},
	clearing: {stopAsked: (*stop).hurryClear, signalled: (*stop).nothing, timeUp: (*stop).settled, hookEnded: (*stop).nothing, appStarted: (*stop).nothing,
		appEnded: (*stop).nothing, nobodyLeft: (*stop).settled, quiet: (*stop).nothing, drained: (*stop).nothing},
	backingOff: {stopAsked: (*stop).forgoRestart, signalled: (*stop).nothing, timeUp: (*stop).restart, hookEnded: (*stop).nothing, appStarted: (*stop).nothing,
		appEnded: (*stop).nothing, nobodyLeft: (*stop).nothing, quiet: (*stop).nothing, drained: (*stop).nothing},
	cleaning: {stopAsked: (*stop).hurryEnd, signalled: (*stop).nothing, timeUp: (*stop).postStopLate, hookEnded: (*stop).end, appStarted: (*stop).nothing,
		appEnded: (*stop).nothing, nobodyLeft: (*stop).nothing, quiet: (*stop).nothing, drained: (*stop).nothing},
	ended: {stopAsked: (*stop).nothing, signalled: (*stop).nothing, timeUp: (*stop).nothing, hookEnded: (*stop).nothing, appStarted: (*stop).nothing,
		appEnded: (*stop).nothing, nobodyLeft: (*stop).nothing, quiet: (*stop).nothing, drained: (*stop).nothing},
}

// step takes an event and returns what to do about it, in order. Time that is not up is no event, and what usher itself wants is no
// reason for haste in a stop, except that it may leave nothing to hold for.
func (s *stop) step(e *event) []action {
	switch {
	case e.kind == timeUp && !s.due(e.at):
		return nil
	case e.cause != "" && !s.began.IsZero() && s.phase != holding:
		return nil
	}
	if e.kind == stopAsked { // a signal means the whole of usher, also while an unhealthy app stops; and its budget begins when that is done
		if s.retry && s.phase == backingOff {
			s.forget()
		}
		s.retry = e.retry && s.began.IsZero()
	}
	table[s.phase][e.kind](s, e)
	return s.decided()
}

// due is whether the time of this phase is up.
func (s *stop) due(at time.Time) bool { return !s.deadline.IsZero() && !at.Before(s.deadline) }

// decided are the actions since the last call, and good until the next step.
func (s *stop) decided() []action {
	actions := s.actions
	s.actions = s.actions[:0]
	return actions
}

func (s *stop) do(v verb) { s.act(action{verb: v}) }

//go:noinline
func (s *stop) act(a action) { s.actions = append(s.actions, a) }
