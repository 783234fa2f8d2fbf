package supervisor

import (
	"context"
	"sync"
	"time"

	"usher/healthz"
	"usher/healthz/check"
)

// Checks are those of one role, and the parameters that they share.
type Checks struct {
	Checks []*check.Check
	Params check.Params
}

// health is the checks of one life of the app. The probers run on goroutines of their own, and the endpoints read what they found.
type health struct {
	probers [check.Roles][]*check.Prober

	toStop, toEnd   context.Context // end when a stop begins, and when the app has ended
	stopping, ended context.CancelFunc
}

func newHealth(checks *[check.Roles]Checks, exec check.Exec) *health {
	h := &health{}
	h.toEnd, h.ended = context.WithCancel(context.Background())
	h.toStop, h.stopping = context.WithCancel(h.toEnd)
	for role := range check.Roles {
		for i, c := range checks[role].Checks {
			c.SetExec(exec)
			h.probers[role] = append(h.probers[role], check.NewProber(role, i+1, c.Run, checks[role].Params))
		}
	}
	return h
}

// run probes until the app's end: first startup, then the rest. While a stop is in progress, only readiness goes on, as in Kubernetes.
func (h *health) run(started time.Time) {
	var startup sync.WaitGroup
	for _, p := range h.probers[check.Startup] {
		startup.Go(func() { p.Run(h.toStop, started, nil) })
	}
	startup.Wait()
	if h.toStop.Err() != nil {
		return
	}
	for _, p := range h.probers[check.Live] {
		go p.Run(h.toStop, started, nil)
	}
	for _, p := range h.probers[check.Ready] {
		go p.Run(h.toEnd, started, nil)
	}
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
