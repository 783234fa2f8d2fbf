package supervisor

import (
	"fmt"
	"time"

	"usher/healthz"
	"usher/supervisor/lastword"
)

// What a probe request reads, on a goroutine of its own: a snapshot, and the probers' results. It never reaches the loop.

// snapshot is what the endpoints are to know.
type snapshot struct {
	alive    bool
	stopping time.Time // since when; zero if not
	signal   string    // that began the stop
}

func (s *Supervisor) livez() []healthz.Result {
	r := healthz.Result{Name: "app"}
	if !s.snapshot.Load().alive {
		r.Failure = "not running"
	}
	return []healthz.Result{r}
}

// ready is the app's own readiness, whether or not a stop is in progress.
func (s *Supervisor) ready() []healthz.Result {
	results := s.livez()
	for i, p := range s.probers {
		r := healthz.Result{Name: fmt.Sprintf("ready-%d", i+1)}
		if st := p.Status(); !st.OK {
			r.Failure = st.Failure
		}
		results = append(results, r)
	}
	return results
}

func (s *Supervisor) readyz() []healthz.Result {
	r := healthz.Result{Name: "shutdown"} // the apiserver's name for it
	if snap := s.snapshot.Load(); !snap.stopping.IsZero() {
		r.Failure = fmt.Sprintf("%s received %v ago", snap.signal, lastword.Round(time.Since(snap.stopping)))
	}
	return append(s.ready(), r)
}

// notReady says why there is nothing to hold a stop signal for; "" if there is.
func (s *Supervisor) notReady() string {
	for _, r := range s.ready() {
		if r.Failure != "" {
			return "the app was not ready"
		}
	}
	return ""
}
