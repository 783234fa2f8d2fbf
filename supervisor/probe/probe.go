// Package probe is the app's health, as probe requests and the log see it.
//
// The loop publishes a snapshot whenever something changes. A probe request reads
// that, and the last results of the checks, on a goroutine of its own. It can't
// reach the loop, and the loop can't hold it up.
package probe

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

// Log takes what an administrator should know. It must not block.
type Log interface {
	Event(e *event.Event)
	Errorf(format string, args ...any)
	Infof(format string, args ...any)
	Debugf(format string, args ...any)
}

// Settings say when the app is healthy.
type Settings struct {
	// Checks are asked of the app, by what they are for.
	Checks [check.Roles]Checks
	// ReadyWhileDraining has /readyz hold during a stop until the app gets its signal.
	// Without it, /readyz fails from t0 on.
	ReadyWhileDraining bool
	// Watchdog is how often the app has to say that it is alive (sd_notify(3),
	// WATCHDOG=1). 0 is never.
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

// View is what probe requests read. The loop sets its fields before anything is
// served, and calls Publish.
type View struct {
	*Settings
	Log      Log
	Memory   *memory.Shortage
	Timeline *timeline.Timeline
	// AppendFlags appends the settings, for /flagz.
	AppendFlags func(b []byte) []byte
	// Hears says that the app has a NOTIFY_SOCKET.
	Hears bool
	// Watches says that a stop looks at traffic.
	Watches bool

	Counters Counters

	snapshot atomic.Pointer[Snapshot]
}

// Snapshot is what the loop knows about the app. It is never changed.
type Snapshot struct {
	lifecycle.Progress
	PID      int       // the app's; 0 is that there is none
	Started  time.Time // when the app was last started
	Waiting  string    // what the app's readiness waits for; "" is nothing
	Restarts int       // how often the app was started again
	Health   *Health   // of this life of the app
}

// Counters are what /metrics shows beside the snapshot and the checks. The loop
// counts.
type Counters struct {
	Starts    atomic.Int64 // of the app
	Ends      atomic.Int64 // of the app
	ExitCode  atomic.Int64 // of the app's last end
	Reaped    atomic.Int64 // orphans
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

// health returns the checks of the present life of the app.
func (v *View) health() *Health { return v.snapshot.Load().Health }
