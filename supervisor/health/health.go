package health

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

// Health has the checks of one run of the app. The probers run on goroutines of
// their own, and the endpoints read their results.
type Health struct {
	probers [check.Roles][]*check.Prober
	notify  []*check.Prober // checks that wait for a message from the app
	rests   []bool          // for each ready check: whether it rests during a stop

	said      atomic.Pointer[notify.State] // what the app has reported
	mainPID   bool                         // the app has reported another process as its main one
	heard     chan struct{}                // filled when the app has sent a message; nil without a socket
	changed   chan struct{}                // filled when the state of a check may have changed
	extending atomic.Bool                  // a post is on its way to the loop: the app wants more time
	started   atomic.Bool                  // the startup checks have held
	startedAt time.Time                    // when they first held; set before started

	readyAfter atomic.Int64 // nanoseconds from the app's start until it was first ready; 0 means not yet

	toStop, toEnd   context.Context // end when a stop begins, and when the app has ended
	endForStop, end context.CancelFunc
}

// NewHealth returns the checks of a new run of the app. Checks that run a
// program rest while a stop looks at traffic: usher can't distinguish their
// connections from others.
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

// ask returns a function that runs a check. A notify check returns what the app
// has reported. A startup check that fails is pending as long as the app has
// asked for more time.
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

// Run probes until the app's end: first startup, then the rest. While a stop is
// in progress, only readiness probes go on, as in Kubernetes. Run calls failed,
// with the check's name, when Kubernetes would restart the app: for a startup or
// live check, and for the watchdog.
func (h *Health) Run(began time.Time, failed func(check, failure string)) {
	observe := func(p *check.Prober) func(check.Status) {
		return func(st check.Status) {
			h.change()
			if st.Failed {
				failed(p.Name(), st.Failure)
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

// change makes LogChanges look at the checks again.
func (h *Health) change() {
	select {
	case h.changed <- struct{}{}:
	default:
	}
}

// watch calls failed when the app's watchdog has run out. It wakes up when that
// may happen, and when the app sends a message.
func (h *Health) watch(began time.Time, failed func(check, failure string)) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for reported := false; ; {
		said := h.said.Load()
		why := said.Overdue(began, time.Now())
		if why != "" && !reported {
			failed("watchdog", why)
		}
		if reported != (why != "") {
			h.change()
		}
		reported = why != ""
		timer.Stop()
		if due, ok := said.Due(began); ok && !reported {
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

// watchdog returns why the app's own watchdog has run out, or "", and whether
// there is a watchdog.
func (h *Health) watchdog(now time.Time) (failure string, asked bool) {
	said := h.said.Load()
	if _, asked = said.Due(now); asked && h.started.Load() {
		failure = said.Overdue(h.startedAt, now)
	}
	return failure, asked
}

// appendTo appends the results of a role's checks. failedOnly leaves out the
// others.
func (h *Health) appendTo(results []healthz.Result, role check.Role, failedOnly bool) []healthz.Result {
	for _, p := range h.probers[role] {
		if st := p.Status(); st.Failed || !failedOnly {
			results = append(results, healthz.Result{Name: p.Name(), Failure: st.Failure})
		}
	}
	return results
}
