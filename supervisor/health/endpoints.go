package health

import (
	"fmt"
	"strings"
	"time"

	"usher/healthz"
	"usher/healthz/check"
	"usher/internal/printable"
	"usher/signals"
)

// Register adds the endpoints to a server.
func (v *View) Register(s *healthz.Server) {
	s.SetEndpoint("livez", v.livez)
	s.SetEndpoint("healthz", v.livez)
	s.SetEndpoint("readyz", v.readyz)
	s.SetEndpoint("startupz", v.startupz)
	s.SetPage("metrics", v.metrics)
	s.SetPage("timeline", v.timeline)
	s.SetPage("statusz", v.statusz)
	s.SetPage("flagz", v.flagz)
}

//go:noinline
func (v *View) app(results []healthz.Result) []healthz.Result {
	r := healthz.Result{Name: "app", Note: v.health().said.Load().Status}
	if note := v.Memory.Note(); note != "" {
		r.Note = strings.TrimSuffix(note+"; "+r.Note, "; ")
	}
	// Nothing is wrong while the app has not been started yet. If the liveness
	// probe failed, the orchestrator would end what usher waits for.
	if snap := v.snapshot.Load(); !snap.Phase.Alive() && snap.Waiting == "" {
		r.Failure = "not running"
	}
	return append(results, r)
}

//go:noinline
func (v *View) startupz(results []healthz.Result) []healthz.Result {
	results = v.app(results)
	if waiting := v.snapshot.Load().Waiting; waiting != "" {
		results[0].Failure = waiting
	}
	return v.health().appendTo(results, check.Startup, false)
}

// livez fails for a startup check only when the check has used up its failure
// threshold. That is when Kubernetes would restart the app.
func (v *View) livez(results []healthz.Result) []healthz.Result {
	h := v.health()
	results = h.appendTo(h.appendTo(v.app(results), check.Startup, true), check.Live, false)
	if failure, asked := h.watchdog(time.Now()); asked {
		results = append(results, healthz.Result{Name: "watchdog", Failure: failure})
	}
	return results
}

// ready returns the results of the app's own readiness, whether or not a stop
// is in progress.
func (v *View) ready(results []healthz.Result) []healthz.Result {
	return v.health().appendTo(v.startupz(results), check.Ready, false)
}

func (v *View) readyz(results []healthz.Result) []healthz.Result {
	r := healthz.Result{Name: "shutdown"} // the apiserver's name for it
	switch snap := v.snapshot.Load(); {
	case !snap.RequestedAt.IsZero() && !(v.ReadyWhileDraining && snap.Phase.Serves()):
		since := printable.Round(time.Since(snap.RequestedAt))
		r.Failure = fmt.Sprintf("%s received %v ago", signals.Name(snap.Signal), since)
	case snap.Health.said.Load().Stopping:
		r.Failure = "the app said STOPPING=1"
	}
	return append(v.ready(results), r)
}

// LiveFails is the reason for no hold if a live check is failing.
const LiveFails = "its live check is failing"

// NoHold returns why there is no reason to hold a stop signal back, or "" if
// there is one.
func (v *View) NoHold() string {
	switch {
	case failing(v.livez(nil)):
		return LiveFails
	case failing(v.ready(nil)):
		return "the app was not ready"
	}
	return ""
}

func failing(results []healthz.Result) bool {
	for _, r := range results {
		if r.Failure != "" {
			return true
		}
	}
	return false
}
