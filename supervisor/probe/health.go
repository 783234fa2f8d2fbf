package probe

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"usher/healthz"
	"usher/healthz/check"
	"usher/healthz/notify"
	"usher/internal/contexts"
)

// Health is the checks of one life of the app. The probers run on goroutines of
// their own, and the endpoints read what they found.
type Health struct {
	probers [check.Roles][]*check.Prober
	notify  []*check.Prober // those that wait for a message from the app
	rests   []bool          // which of the ready checks rest during a stop

	said      atomic.Pointer[notify.State] // what the app has said
	mainPID   bool                         // the app has said that another process is its main one
	heard     chan struct{}                // has something when the app has said more; nil without a socket
	changed   chan struct{}                // has something when the state of a check may have changed
	extending atomic.Bool                  // the loop is about to read for how long the app wants more time
	started   atomic.Bool                  // the startup checks have held
	startedAt time.Time                    // since when; set before started

	readyAfter atomic.Int64 // nanoseconds from the app's start until it was first ready; 0 is not yet

	toStop, toEnd   context.Context // until a stop begins, and until the app has ended
	endForStop, end context.CancelFunc
}

// NewHealth returns the checks of a new life of the app. Programs rest while a stop
// looks at traffic: their connections can't be told from those of others.
func (v *View) NewHealth() *Health {
	h := &Health{changed: make(chan struct{}, 1)}
	h.said.Store(&notify.State{Watchdog: v.Watchdog})
	if v.Hears {
		h.heard = make(chan struct{}, 1)
	}
	h.toEnd, h.end = contexts.WithCancel(context.Background())
	h.toStop, h.endForStop = contexts.WithCancel(h.toEnd)
	for role := range check.Roles {
		of := &v.Checks[role]
		for i, c := range of.Checks {
			p := check.NewProber(role, i+1, h.ask(role, c), of.Params)
			h.probers[role] = append(h.probers[role], p)
			if c.IsNotify() {
				h.notify = append(h.notify, p)
			}
			if role == check.Ready {
				h.rests = append(h.rests, v.Watches && c.Command(0) != nil)
			}
		}
	}
	return h
}

// ask returns how a check is asked. A notify check is what the app has said. A
// startup check that fails is pending for as long as the app has asked for more
// time.
func (h *Health) ask(role check.Role, c *check.Check) func(context.Context) error {
	return func(ctx context.Context) (err error) {
		said := h.said.Load()
		switch why := said.Unready(); {
		case !c.IsNotify():
			err = c.Run(ctx)
		case why != "":
			err = errors.New(why)
		}
		if err != nil && role == check.Startup && time.Now().Before(said.Extended()) {
			return check.ErrPending
		}
		return err
	}
}

// Run probes until the app's end: first startup, then the rest. While a stop is in
// progress, only readiness goes on, as in Kubernetes. failed is called for each
// startup or live check, and for a watchdog, for which Kubernetes would restart the
// app.
func (h *Health) Run(began time.Time, failed func(why string)) {
	observe := func(p *check.Prober) func(check.Status) {
		return func(st check.Status) {
			h.change()
			if st.Failed {
				failed(p.Name() + ": " + st.Failure)
			}
		}
	}
	ended := make(chan struct{})
	for _, p := range h.probers[check.Startup] {
		go func() {
			p.Run(h.toStop, began, observe(p))
			ended <- struct{}{}
		}()
	}
	for range h.probers[check.Startup] {
		<-ended
	}
	if h.toStop.Err() != nil {
		return
	}
	now := time.Now()
	h.startedAt = now
	h.started.Store(true)
	h.change()
	for _, p := range h.probers[check.Live] {
		go p.Run(h.toStop, began, observe(p))
	}
	for i, p := range h.probers[check.Ready] {
		ctx := h.toEnd
		if h.rests[i] {
			ctx = h.toStop
		}
		go p.Run(ctx, began, func(check.Status) { h.change() })
	}
	if h.heard != nil {
		h.watch(now, failed)
	}
}

// change has LogChanges look at the checks again.
func (h *Health) change() {
	select {
	case h.changed <- struct{}{}:
	default:
	}
}

// watch calls failed when the app's watchdog has run out. It wakes up when that can
// be, and when the app says something.
func (h *Health) watch(began time.Time, failed func(string)) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for told := false; ; {
		said := h.said.Load()
		why := said.Overdue(began, time.Now())
		if why != "" && !told {
			failed("watchdog: " + why)
		}
		if told != (why != "") {
			h.change()
		}
		told = why != ""
		timer.Stop()
		if due, ok := said.Due(began); ok && !told {
			timer.Reset(time.Until(due))
		}
		select {
		case <-h.toStop.Done():
			return
		case <-h.heard:
		case <-timer.C:
		}
	}
}

// watchdog says why the app's own watchdog has run out, and whether there is one.
func (h *Health) watchdog(now time.Time) (failure string, asked bool) {
	said := h.said.Load()
	if _, asked = said.Due(now); asked && h.started.Load() {
		failure = said.Overdue(h.startedAt, now)
	}
	return failure, asked
}

// appendTo appends the results of a role's checks. failedOnly leaves out those that
// have not failed.
func (h *Health) appendTo(results []healthz.Result, role check.Role, failedOnly bool) []healthz.Result {
	for _, p := range h.probers[role] {
		if st := p.Status(); st.Failed || !failedOnly {
			results = append(results, healthz.Result{Name: p.Name(), Failure: st.Failure})
		}
	}
	return results
}
