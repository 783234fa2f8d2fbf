package lifecycle

import (
	"time"

	"usher/signals"
)

// NoLimit is the duration of what may take as long as it needs.
const NoLimit = time.Duration(1<<63 - 1)

// Options are the user's settings on which the life of the app depends. Timing
// explains each of them.
type Options struct {
	StopSignals        []signals.Signal
	Rewrites           signals.Rewrites
	Hold, Quiet, Drain time.Duration // --term-delay, --quiet-period, --drain-timeout
	QuietNewOnly       bool          // --quiet-mode new-connections, for Plan
	Grace              time.Duration // --grace-period; 0 means that it is unknown
	Schedule           Schedule
	Stragglers         time.Duration // --straggler-grace
	ReadyWhileDraining bool

	Waits       bool          // there are checks of --wait-for
	WaitTimeout time.Duration // for all of these; 0 means no limit
	PreStarts   int           // number of pre-start hooks
	HookTimeout time.Duration // for each hook; 0 means the default, see Options.Timing
	// Descriptions of these hooks, for Plan; "" if there is none.
	PostStart, PreStop, PostStop string

	Restart    RestartPolicy
	RestartMax int // limit of restarts in a row; 0 means no limit
}

// Timing has all constants on which the decisions depend. The times of a stop
// count from the request, t0.
type Timing struct {
	Prepare   []time.Duration // limit of each preparation, or NoLimit
	PostStart time.Duration   // limit of the post-start hook, or NoLimit; 0 means that there is no hook
	PreStop   time.Duration   // limit of the pre-stop hook; 0 means that there is none
	PostStop  time.Duration   // limit of the post-stop hook; 0 means that there is none

	Hold     time.Duration // longest time for which the signal is held back; 0 means no hold
	Drain    time.Duration // time that the app may then take for accepted requests
	Schedule Schedule
	Limit    time.Duration // when the app and the stragglers get SIGKILL; 0 means never
	End      time.Duration // when no process may run any more; 0 means that it is unknown
	Tail     time.Duration // when usher stops reading stderr; 0 means that it is unknown

	Stragglers time.Duration // between SIGTERM and SIGKILL for the stragglers, with or without a stop

	StopSignal  signals.Signal // for a stop that usher itself requests
	StopDeliver signals.Signal // the signal that the app gets for StopSignal
	Restart     RestartPolicy
	RestartMax  int
}

// WordTime returns the part of a grace period that usher keeps for the time
// after SIGKILL. In that time the kernel ends the app, and usher writes the
// reason. Half a second is plenty. Of a grace period of less than two seconds,
// a quarter is kept.
func WordTime(grace time.Duration) time.Duration { return min(500*time.Millisecond, grace/4) }

// defaultHookTime limits the pre-stop and post-stop hooks if the user sets no
// limit.
const defaultHookTime = 30 * time.Second

// Timing computes the times. Without HookTimeout, hooks before the app have no
// limit, and each hook of the stop may take a quarter of the grace period, at
// most 30 s.
func (o *Options) Timing() Timing {
	t := Timing{
		Hold: o.Hold, Drain: o.Drain, Schedule: o.Schedule, Stragglers: o.Stragglers,
		Restart: o.Restart, RestartMax: o.RestartMax,
	}
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
