package supervisor

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"usher/healthz"
	"usher/healthz/check"
	"usher/healthz/notify"
)

// Checks are those of one role, and the parameters that they share.
type Checks struct {
	Checks []*check.Check
	Params check.Params
}

// health is the checks of one life of the app. The probers run on goroutines of their own, and the endpoints read what they found.
type health struct {
	probers [check.Roles][]*check.Prober
	notify  []*check.Prober // those of them that wait for the app's own word

	said    atomic.Pointer[notify.State] // what the app has said
	started atomic.Pointer[time.Time]    // when the startup checks have held; nil is not yet

	toStop, toEnd   context.Context // end when a stop begins, and when the app has ended
	stopping, ended context.CancelFunc
}

func newHealth(c *Config, exec check.Exec) *health {
	h := &health{}
	h.said.Store(&notify.State{Watchdog: c.Watchdog})
	h.toEnd, h.ended = context.WithCancel(context.Background())
	h.toStop, h.stopping = context.WithCancel(h.toEnd)
	for role := range check.Roles {
		for i, of := range c.Checks[role].Checks {
			of.SetExec(exec)
			p := check.NewProber(role, i+1, h.ask(role, of), c.Checks[role].Params)
			h.probers[role] = append(h.probers[role], p)
			if of.IsNotify() {
				h.notify = append(h.notify, p)
			}
		}
	}
	return h
}

// ask is how a check is asked: the app's own word where that is what it is, and for startup with the patience that the app has asked for.
func (h *health) ask(role check.Role, c *check.Check) func(context.Context) error {
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

// run probes until the app's end: first startup, then the rest. While a stop is in progress, only readiness goes on, as in Kubernetes.
func (h *health) run(began time.Time) {
	var startup sync.WaitGroup
	for _, p := range h.probers[check.Startup] {
		startup.Go(func() { p.Run(h.toStop, began, nil) })
	}
	startup.Wait()
	if h.toStop.Err() != nil {
		return
	}
	now := time.Now()
	h.started.Store(&now)
	for _, p := range h.probers[check.Live] {
		go p.Run(h.toStop, began, nil)
	}
	for _, p := range h.probers[check.Ready] {
		go p.Run(h.toEnd, began, nil)
	}
}

// watchdog says why the app's own watchdog has run out; asked is whether there is one.
func (h *health) watchdog(now time.Time) (failure string, asked bool) {
	said, began := h.said.Load(), h.started.Load()
	if _, asked = said.Due(now); asked && began != nil {
		failure = said.Overdue(*began, now)
	}
	return failure, asked
}

// appendTo appends the results of a role's checks. failedOnly leaves out those that have not failed.
func (h *health) appendTo(results []healthz.Result, role check.Role, failedOnly bool) []healthz.Result {
	for _, p := range h.probers[role] {
		if st := p.Status(); st.Failed || !failedOnly {
			results = append(results, healthz.Result{Name: p.Name(), Failure: st.Failure})
		}
	}
	return results
}
