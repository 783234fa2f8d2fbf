package health

import (
	"time"

	"usher/healthz"
	"usher/healthz/check"
	"usher/signals"
	"usher/supervisor/lifecycle"
	"usher/supervisor/memory"
)

// metrics appends the page /metrics to b. Names follow Prometheus' conventions
// (prometheus.io/docs/practices/naming).
func (v *View) metrics(b []byte, wants healthz.Wants) ([]byte, string) {
	m := healthz.Metrics{Body: b, Open: wants.OpenMetrics}
	snap, c := v.snapshot.Load(), &v.Counters
	m.Family("usher_build_info", "gauge", "The version of usher.")
	m.Sample("", `{version="`+check.Version+`"}`, 1)
	m.Only("usher_app_up", "gauge", "Whether the app runs.", oneIf(snap.Phase.Alive()))
	m.Only("usher_app_ready", "gauge", "Whether /readyz holds.", oneIf(!failing(v.readyz(nil))))
	m.Only("usher_app_live", "gauge", "Whether /livez holds.", oneIf(!failing(v.livez(nil))))
	m.Only("usher_app_starts", "counter", "How often the app was started.", float64(c.Starts.Load()))
	m.Only("usher_app_restarts", "counter", "How often the app was started again.", float64(snap.Restarts))
	if c.Ends.Load() > 0 {
		m.Only("usher_app_exit_code", "gauge", "The exit code of the app's last end, 128+n if signal n killed it.",
			float64(c.ExitCode.Load()))
	}
	uptime := 0.0
	if snap.Phase.Alive() {
		uptime = time.Since(snap.Started).Seconds()
	}
	m.Only("usher_app_uptime_seconds", "gauge", "How long the app has been running.", uptime)
	if took := snap.Health.readyAfter.Load(); took > 0 {
		m.Only("usher_app_time_to_ready_seconds", "gauge",
			"How long the app took from its start to be ready for the first time.",
			time.Duration(took).Seconds())
	}
	stopMetrics(&m, snap)
	m.Family("usher_phase", "gauge", "Where usher is: 1 for the present phase.")
	for p := range lifecycle.Phases {
		m.Sample("", `{phase="`+p.String()+`"}`, oneIf(p == snap.Phase))
	}
	m.Family("usher_signals_forwarded", "counter",
		"Signals that the app was sent, by the name under which it got them.")
	for sig := range c.Forwarded {
		if n := c.Forwarded[sig].Load(); n > 0 {
			m.Sample("", `{signal="`+signals.Name(signals.Signal(sig))+`"}`, float64(n))
		}
	}
	m.Only("usher_zombies_reaped", "counter", "Orphans that usher has reaped.",
		float64(c.Reaped.Load()))
	memoryMetrics(&m, v.Memory.Cgroup())
	if v.Any() {
		checkMetrics(&m, snap.Health)
	}
	return m.End()
}

// stopMetrics adds the metrics of a stop, once it has begun.
func stopMetrics(m *healthz.Metrics, snap *Snapshot) {
	if snap.RequestedAt.IsZero() {
		return
	}
	since := time.Since(snap.RequestedAt)
	m.Only("usher_stop_seconds", "gauge", "How long the stop has been in progress.", since.Seconds())
	held, ended := snap.HeldFor, `{ended="time"}`
	switch {
	case snap.Phase == lifecycle.Holding:
		held, ended = since, `{ended="not yet"}`
	case snap.EndedQuiet:
		ended = `{ended="quiet"}`
	case snap.HoldReason != "":
		ended = `{ended="cut"}`
	}
	if held > 0 { // there is, or was, a hold
		m.Family("usher_hold_seconds", "gauge", "How long the stop signal was held back, by what ended the hold.")
		m.Sample("", ended, held.Seconds())
	}
}

// memoryMetrics adds the metrics of the container's memory, if usher can see
// its cgroup.
func memoryMetrics(m *healthz.Metrics, group *memory.Cgroup) {
	if group == nil {
		return
	}
	n := group.Counts()
	m.Only("usher_memory_usage_bytes", "gauge", "What the container uses, caches included.", float64(group.Usage()))
	if limit := group.Limit(); limit > 0 {
		m.Only("usher_memory_limit_bytes", "gauge", "What the container may use.", float64(limit))
	}
	if peak := group.Peak(); peak > 0 {
		m.Only("usher_memory_peak_bytes", "gauge", "The most that the container has used.", float64(peak))
	}
	m.Only("usher_memory_limit_hits", "counter", "How often usage was about to go over the limit.", float64(n.Limit))
	m.Only("usher_memory_oom", "counter", "How often the kernel could not free enough memory.", float64(n.OOM))
	m.Only("usher_memory_oom_kills", "counter", "Processes that the kernel has killed because memory ran out.",
		float64(n.Kills))
}

func checkMetrics(m *healthz.Metrics, h *Health) {
	const state, results, duration = 0, 1, 2
	for family := state; family <= duration; family++ {
		switch family {
		case state:
			m.Family("usher_check_ok", "gauge", "Whether the check holds, by its thresholds.")
		case results:
			m.Family("usher_check_results", "counter", "Results of single probes.")
		case duration:
			m.Family("usher_check_duration_seconds", "summary", "How long the probes took.")
		}
		for role := range check.Roles {
			for _, p := range h.probers[role] {
				held, failed, spent := p.Counts()
				label := `{check="` + p.Name() + `"`
				switch family {
				case state:
					m.Sample("", label+"}", oneIf(p.Status().OK))
				case results:
					m.Sample("", label+`,result="success"}`, float64(held))
					m.Sample("", label+`,result="failure"}`, float64(failed))
				case duration:
					m.Sample("_sum", label+"}", spent.Seconds())
					m.Sample("_count", label+"}", float64(held+failed))
				}
			}
		}
	}
}

func oneIf(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
