package supervisor

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"usher/healthz"
	"usher/healthz/check"
	"usher/healthz/notify"
	"usher/internal/contexts"
	"usher/signals"
	"usher/supervisor/lifecycle"
)

// Checks are those of one role, and the parameters that they share.
type Checks struct {
	Checks []*check.Check
	Params check.Params
}

// UnhealthyPolicy says what usher does when a live check, a startup check or the app's watchdog has failed.
type UnhealthyPolicy uint8

const (
	UnhealthyReport UnhealthyPolicy = iota // /livez says so, and the orchestrator acts
	UnhealthyStop                          // …and usher stops the app, which is then started again where RestartPolicy has that
)

// ParseUnhealthyPolicy reads report or stop.
func ParseUnhealthyPolicy(s string) (UnhealthyPolicy, error) {
	switch s {
	case "report":
		return UnhealthyReport, nil
	case "stop":
		return UnhealthyStop, nil
	}
	return 0, fmt.Errorf("policy for an unhealthy app %q: want report or stop", s)
}

// liveFails is why there is no hold then.
const liveFails = "its live check is failing"

// health is the checks of one life of the app. The probers run on goroutines of their own, and the endpoints read what they found.
type health struct {
	probers [check.Roles][]*check.Prober
	notify  []*check.Prober // those of them that wait for the app's own word
	rests   []bool          // of the ready checks: during a stop as well

	said      atomic.Pointer[notify.State] // what the app has said
	mainPID   bool                         // …that another process is its main one
	heard     chan struct{}                // has something when it has said more; nil where nobody listens
	changed   chan struct{}                // has something when the state of a check may have changed
	extending atomic.Bool                  // the loop is about to see when the app wants more time
	started   atomic.Pointer[time.Time]    // when the startup checks have held; nil is not yet

	toStop, toEnd   context.Context // end when a stop begins, and when the app has ended
	stopping, ended context.CancelFunc
}

// prepareChecks gives the checks what they need of usher, once: those of one life of the app may still be at work when the next begins. Ports are
// noted where a stop looks at traffic: usher's own connections don't count there.
func (s *Supervisor) prepareChecks() {
	for _, c := range s.config.WaitFor {
		c.SetExec(s.commands.Exec)
	}
	for _, of := range s.config.Checks {
		for _, c := range of.Checks {
			c.SetExec(s.commands.Exec)
			c.SetPorts(s.ports)
		}
	}
}

// newHealth has programs rest while a stop looks at traffic: their connections can't be told from others'.
func (s *Supervisor) newHealth() *health {
	h := &health{changed: make(chan struct{}, 1)}
	h.said.Store(&notify.State{Watchdog: s.config.Watchdog})
	if s.notify != nil {
		h.heard = make(chan struct{}, 1)
	}
	h.toEnd, h.ended = contexts.WithCancel(context.Background())
	h.toStop, h.stopping = contexts.WithCancel(h.toEnd)
	for role := range check.Roles {
		for i, of := range s.config.Checks[role].Checks {
			p := check.NewProber(role, i+1, h.ask(role, of), s.config.Checks[role].Params)
			h.probers[role] = append(h.probers[role], p)
			if of.IsNotify() {
				h.notify = append(h.notify, p)
			}
			if role == check.Ready {
				h.rests = append(h.rests, s.ports != nil && of.Command(0) != nil)
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
// failed is told of every startup and live check, and a watchdog, that Kubernetes would restart the app for.
func (h *health) run(began time.Time, failed func(why string)) {
	look := func(p *check.Prober) func(check.Status) {
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
			p.Run(h.toStop, began, look(p))
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
	h.started.Store(&now)
	for _, p := range h.probers[check.Live] {
		go p.Run(h.toStop, began, look(p))
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

// change has tell look at the checks again.
func (h *health) change() {
	select {
	case h.changed <- struct{}{}:
	default:
	}
}

// watch tells of the app's watchdog when it has run out. It wakes up when that can be, and when the app says something.
func (h *health) watch(began time.Time, failed func(string)) {
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

// unhealthy is what comes of a startup or live check, or a watchdog, that has failed in that life of the app.
func (s *Supervisor) unhealthy(h *health, why string) {
	s.post(func() {
		if s.health != h || !s.life.Phase().Alive() {
			return
		}
		if s.config.OnUnhealthy == UnhealthyStop {
			s.step(&lifecycle.Event{Kind: lifecycle.StopRequested, At: time.Now(), Signal: &signals.Event{Signal: s.timing.StopSignal}, Deliver: s.timing.StopDeliver, Cause: why, NoHold: liveFails, Retry: true})
		}
	})
}
