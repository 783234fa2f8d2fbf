package lifecycle

import (
	"time"

	"usher/signals"
)

// NoLimit is the time of what may take as long as it needs.
const NoLimit = time.Duration(1<<63 - 1)

// Options are a user's settings, as far as the life of the app depends on them. Options.Timing has the meaning of each.
type Options struct {
	StopSignals        []signals.Signal
	Rewrites           signals.Rewrites
	Hold, Quiet, Drain time.Duration // --term-delay, --quiet-period, --drain-timeout
	QuietNewOnly       bool          // --quiet-mode new-connections, for Plan
	Grace              time.Duration // --grace-period; 0 is not known
	Schedule           Schedule
	Stragglers         time.Duration // --straggler-grace
	ReadyWhileDraining bool

	Waits       bool          // there is something to wait for before the app
	WaitTimeout time.Duration // for that; 0 is no limit
	PreStarts   int           // number of pre-start hooks
	HookTimeout time.Duration // for each hook; 0 is the default, see Timing
	// What these hooks do, for Plan; "" where there is none.
	PostStart, PreStop, PostStop string

	Restart    RestartPolicy
	RestartMax int // in a row; 0 is no limit
}

// Timing is all that the decisions depend on and that does not change. The times of a stop count from the request, t0.
type Timing struct {
	Prepare   []time.Duration // how long each preparation may take, or NoLimit
	PostStart time.Duration   // how long that hook may take, or NoLimit; 0 is no such hook
	PreStop   time.Duration   // 0 is no such hook
	PostStop  time.Duration   // 0 is no such hook

	Hold     time.Duration // how long the signal is held back at most; 0 is not at all
	Drain    time.Duration // how long the app may then take for accepted requests
	Schedule Schedule
	Limit    time.Duration // when the app and the stragglers get SIGKILL; 0 is never
	End      time.Duration // when no process may run any more; 0 is not known
	Tail     time.Duration // when the reader of stderr has had its time; 0 is not known

	Stragglers time.Duration // between SIGTERM and SIGKILL for the stragglers, with or without a stop

	StopSignal  signals.Signal // for a stop that usher itself requests
	StopDeliver signals.Signal // what the app gets for that
	Restart     RestartPolicy
	RestartMax  int
}

// WordTime is the part of a grace period that is kept for the time after SIGKILL, in which the kernel takes the app down and usher
// writes the reason. Half a second is plenty; a quarter is kept of a grace period of less than two seconds.
func WordTime(grace time.Duration) time.Duration { return min(500*time.Millisecond, grace/4) }

// defaultHookTime bounds pre-stop and post-stop where the user sets nothing.
const defaultHookTime = 30 * time.Second

// Timing works out the times. Without HookTimeout, hooks before the app may take as long as they need, and hooks of the stop a quarter of
// the grace period, or 30 s.
func (o *Options) Timing() Timing {
	t := Timing{Hold: o.Hold, Drain: o.Drain, Schedule: o.Schedule, Stragglers: o.Stragglers, Restart: o.Restart, RestartMax: o.RestartMax}
	if len(o.StopSignals) > 0 {
		t.StopSignal = o.StopSignals[0]
		t.StopDeliver = o.Rewrites.Apply(t.StopSignal)
	}
	before, after := NoLimit, defaultHookTime
	if o.Grace > 0 {
		after = min(after, o.Grace/4)
	}
	if o.HookTimeout > 0 {
		before, after = o.HookTimeout, o.HookTimeout
	}
	if o.Waits {
		wait := NoLimit
		if o.WaitTimeout > 0 {
			wait = o.WaitTimeout
		}
		t.Prepare = append(t.Prepare, wait)
	}
	for range o.PreStarts {
		t.Prepare = append(t.Prepare, before)
	}
	if o.PostStart != "" {
		t.PostStart = before
	}
	if o.PreStop != "" {
		t.PreStop = after
	}
	if o.PostStop != "" {
		t.PostStop = after
	}
	if o.Grace > 0 {
		t.End = o.Grace - WordTime(o.Grace)
		t.Limit = max(1, t.End-t.PostStop)
		t.Tail = o.Grace - WordTime(o.Grace)/2
	}
	return t
}
