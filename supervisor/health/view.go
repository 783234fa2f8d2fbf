// Package health shows the app's health to probe requests and to the log.
//
// The loop publishes a snapshot whenever something changes. A probe request
// reads the snapshot, and the last results of the checks, on a goroutine of its
// own. The request can't reach the loop, and the loop can't delay the request.
package health

import (
	"sync/atomic"
	"time"

	"usher/healthz/check"
	"usher/signals"
	"usher/supervisor/event"
	"usher/supervisor/lifecycle"
	"usher/supervisor/memory"
	"usher/supervisor/timeline"
)

// Log receives what an administrator should know. It must not block.
type Log interface {
	Event(e *event.Event)
	Errorf(format string, args ...any)
	Infof(format string, args ...any)
	Debugf(format string, args ...any)
}

// Settings say when the app is healthy.
type Settings struct {
	// Checks are the checks of each role.
	Checks [check.Roles]Checks
	// ReadyWhileDraining makes /readyz hold during a stop until the app gets its
	// signal. Without it, /readyz fails from t0 on.
	ReadyWhileDraining bool
	// Watchdog is how often the app has to report that it is alive (sd_notify(3),
	// WATCHDOG=1). 0 means never.
	Watchdog time.Duration
}

// Checks are the checks of one role, and the parameters that they share.
type Checks struct {
	Checks []*check.Check
	Params check.Params
}

// Any reports whether there are checks of any role.
//
//go:noinline
func (s *Settings) Any() bool {
	for role := range s.Checks {
		if len(s.Checks[role].Checks) > 0 {
			return true
		}
	}
	return false
}

// View has what probe requests read. The loop sets its fields before usher
// serves requests, and calls Publish.
type View struct {
	*Settings
	Log      Log
	Memory   *memory.Shortage
	Timeline *timeline.Timeline
	// AppendFlags appends the settings, for /flagz.
	AppendFlags func(b []byte) []byte
	// Hears reports whether the app has a NOTIFY_SOCKET.
	Hears bool
	// Watches reports whether a stop looks at traffic.
	Watches bool
	// Stops reports whether the loop stops an unhealthy app. Then it also logs that
	// the app is unhealthy.
	Stops bool

	Counters Counters

	snapshot atomic.Pointer[Snapshot]
}

// Snapshot has what the loop knows about the app. It is never changed.
type Snapshot struct {
	lifecycle.Progress
	PID      int       // the app's pid; 0 if there is no app
	Started  time.Time // when the app was last started
	Waiting  string    // what the app's readiness waits for, or ""
	Restarts int       // how often the app was started again
	Health   *Health   // checks of this run of the app
}

// Counters are the numbers that /metrics shows beside the snapshot and the
// checks. The loop counts.
type Counters struct {
	Starts    atomic.Int64 // starts of the app
	Ends      atomic.Int64 // ends of the app
	ExitCode  atomic.Int64 // exit code of the app's last end
	Reaped    atomic.Int64 // orphans that usher reaped
	Forwarded [signals.RTMax + 1]atomic.Int64
}

// Publish replaces the snapshot that requests read. Only the loop calls it.
func (v *View) Publish(snap *Snapshot) {
	if !snap.RequestedAt.IsZero() {
		snap.Health.endForStop()
	}
	if !snap.ExitedAt.IsZero() {
		snap.Health.end()
	}
	v.snapshot.Store(snap)
	snap.Health.change()
}

// health returns the checks of the present run of the app.
func (v *View) health() *Health { return v.snapshot.Load().Health }
