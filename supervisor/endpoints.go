package supervisor

import (
	"fmt"
	"strings"
	"time"

	"usher/healthz"
	"usher/healthz/check"
	"usher/signals"
	"usher/signals/entry"
	"usher/supervisor/lastword"
	"usher/supervisor/lifecycle"
)

// What a probe request reads, on a goroutine of its own: a snapshot, and the probers' results. It never reaches the loop.

// snapshot is what the endpoints are to know.
type snapshot struct {
	phase    lifecycle.Phase
	alive    bool
	started  time.Time // when the app was
	stopping time.Time // since when; zero if not
	signal   string    // that began the stop
	waiting  string    // what the app's readiness waits for; "" is nothing
	restarts int       // how often the app was started again
	checks   *health   // of this life of the app
}

// publish makes the snapshot that requests read.
func (s *Supervisor) publish() {
	st := s.life.Progress()
	snap := &snapshot{phase: st.Phase, alive: st.Phase.Alive(), started: s.started, stopping: st.RequestedAt, restarts: s.restarted, checks: s.health}
	if !st.RequestedAt.IsZero() {
		snap.signal = signals.Name(st.Signal)
	}
	switch {
	case st.Phase == lifecycle.BackingOff:
		snap.waiting = "to be started again"
	case s.appStarting != nil:
		snap.waiting = "the kernel is still loading the app (execve)"
	case s.hook != nil && s.hook.fatal:
		snap.waiting = s.hook.name + " is at work"
		if s.hook.waits != "" {
			snap.waiting = "waiting for " + s.hook.waits
		}
	}
	if !st.RequestedAt.IsZero() {
		s.health.stopping()
	}
	if !st.ExitedAt.IsZero() {
		s.health.ended()
	}
	s.snapshot.Store(snap)
	s.health.change()
}

// serve starts what runs beside the loop. None of it touches the loop's state.
func (s *Supervisor) serve() {
	if s.tail != nil {
		go s.tail.Run()
	}
	if s.notify != nil {
		go s.hear()
	}
	if s.server != nil {
		go s.server.Serve()
	}
}

// close stops listening.
func (s *Supervisor) close() {
	if s.server == nil && s.notify == nil {
		return
	}
	entry.Raise() // their names may be in another user's directory
	if s.server != nil {
		s.server.Close()
	}
	if s.notify != nil {
		s.notify.Close()
	}
	entry.Restore()
}

func (s *Supervisor) endpoints() map[string]healthz.Endpoint {
	return map[string]healthz.Endpoint{"livez": s.livez, "healthz": s.livez, "readyz": s.readyz, "startupz": s.startupz}
}

//go:noinline
func (s *Supervisor) app(results []healthz.Result) []healthz.Result {
	r := healthz.Result{Name: "app", Note: s.checks().said.Load().Status}
	if note := s.memory.Note(); note != "" {
		r.Note = strings.TrimSuffix(note+"; "+r.Note, "; ")
	}
	// While an app is still to come, nothing is wrong: a liveness probe that failed would end what it waits for.
	if snap := s.snapshot.Load(); !snap.alive && snap.waiting == "" {
		r.Failure = "not running"
	}
	return append(results, r)
}

func (s *Supervisor) checks() *health { return s.snapshot.Load().checks }

//go:noinline
func (s *Supervisor) startupz(results []healthz.Result) []healthz.Result {
	results = s.app(results)
	if waiting := s.snapshot.Load().waiting; waiting != "" {
		results[0].Failure = waiting
	}
	return s.checks().appendTo(results, check.Startup, false)
}

// livez fails for a startup check only when that has used up its failure threshold, which is when Kubernetes would restart the app.
func (s *Supervisor) livez(results []healthz.Result) []healthz.Result {
	h := s.checks()
	results = h.appendTo(h.appendTo(s.app(results), check.Startup, true), check.Live, false)
	if failure, asked := h.watchdog(time.Now()); asked {
		results = append(results, healthz.Result{Name: "watchdog", Failure: failure})
	}
	return results
}

// ready is the app's own readiness, whether or not a stop is in progress.
func (s *Supervisor) ready(results []healthz.Result) []healthz.Result {
	return s.checks().appendTo(s.startupz(results), check.Ready, false)
}

func (s *Supervisor) readyz(results []healthz.Result) []healthz.Result {
	r := healthz.Result{Name: "shutdown"} // the apiserver's name for it
	switch snap := s.snapshot.Load(); {
	case !snap.stopping.IsZero() && !(s.config.ReadyWhileDraining && snap.phase.Serves()):
		r.Failure = fmt.Sprintf("%s received %v ago", snap.signal, lastword.Round(time.Since(snap.stopping)))
	case snap.checks.said.Load().Stopping:
		r.Failure = "the app said STOPPING=1"
	}
	return append(s.ready(results), r)
}

// noHold says why there is nothing to hold a stop signal for; "" if there is.
func (s *Supervisor) noHold() string {
	switch {
	case failing(s.livez(nil)):
		return liveFails
	case failing(s.ready(nil)):
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
