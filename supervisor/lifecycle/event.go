package lifecycle

import (
	"time"

	"usher/signals"
)

// Kind is a kind of event.
type Kind uint8

const (
	StopRequested  Kind = iota // a stop signal has arrived, or usher itself wants the app to stop
	Signalled                  // any other signal has arrived
	TimeUp                     // the deadline of the phase has passed
	HookEnded                  // the running hook has ended, or the checks of --wait-for hold
	AppStarted                 // the app's program runs
	AppEnded                   // the app has exited, was killed, or could not be started
	NobodyLeft                 // usher is the only process that runs
	TrafficQuiet               // no traffic has come in for the quiet period
	TrafficDrained             // the app has answered every request
	kinds
)

func (k Kind) String() string {
	return [kinds]string{"stop requested", "signal", "time up", "hook ended", "app started", "app ended",
		"nobody left", "traffic quiet", "traffic drained"}[k]
}

// Event is something that has happened. Which fields count depends on its Kind.
type Event struct {
	_    [0]func() // not comparable, as Progress
	Kind Kind
	At   time.Time

	Signal  *signals.Event // StopRequested, Signalled: as it arrived
	Deliver signals.Signal // StopRequested, Signalled: what the app gets for it (--rewrite)

	Cause  string // StopRequested: why usher itself wants the app to stop; "" for a signal
	NoHold string // StopRequested: why the signal is not held back; "" if it may be
	Retry  bool   // StopRequested: the app may be started again after this stop

	Failed bool // HookEnded, AppEnded: without success
	Final  bool // AppEnded: the app must not be started again
	Last   bool // AppEnded: usher is the only process that runs
}

// Verb is something for the loop to do.
type Verb uint8

const (
	Prepare    Verb = iota // begin preparation number Action.N
	Launch                 // start the app; always the last action of a step
	Save                   // keep the signal until the app is started
	Forward                // send the app Action.Deliver for Action.Signal
	Send                   // send the app Action.Deliver, a signal of the schedule
	Kill                   // send the app SIGKILL
	PostStart              // run the post-start hook
	PreStop                // run the pre-stop hook
	PostStop               // run the post-stop hook
	ExpireHook             // kill the running hook: its time is up, which is a failure
	CancelHook             // kill the running hook, whose outcome no longer matters
	DetachHook             // stop waiting for the running hook, which becomes a straggler
	WriteAhead             // write the reason so far to the termination log
	Sweep                  // send the stragglers SIGTERM
	Clear                  // send the stragglers SIGKILL
	Finish                 // write the last word, and end
	verbs
)

func (v Verb) String() string {
	return [verbs]string{"prepare", "launch", "save", "forward", "send", "kill", "post-start", "pre-stop", "post-stop",
		"expire hook", "cancel hook", "detach hook", "write ahead", "sweep", "clear", "finish"}[v]
}

// Action is one thing for the loop to do.
type Action struct {
	Verb    Verb
	N       int            // Prepare: the number of the preparation, from 0
	Signal  *signals.Event // Save, Forward
	Deliver signals.Signal // Save, Forward, Send
	First   bool           // Forward, Send: this is the first signal of the stop that the app gets
}
