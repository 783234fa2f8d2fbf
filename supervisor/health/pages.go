package health

import (
	"fmt"
	"runtime"
	"time"

	"usher/healthz"
	"usher/healthz/check"
	"usher/internal/printable"
	"usher/supervisor/lastword"
)

// Pages for people: Kubernetes' z-pages (KEP-4827, KEP-4828), and the timeline.

const zWarning = "\nWarning: This endpoint is not meant to be machine parseable, " +
	"has no formatting compatibility guarantees and is for debugging purposes only.\n\n"

func (v *View) timeline(b []byte, wants healthz.Wants) ([]byte, string) {
	if wants.JSON {
		return v.Timeline.AppendJSON(b), healthz.JSON
	}
	return v.Timeline.AppendText(b), healthz.Plain
}

func (v *View) flagz(b []byte, _ healthz.Wants) ([]byte, string) {
	return v.AppendFlags(append(b, "usher flagz"+zWarning...)), healthz.Plain
}

// statusz begins with the same lines as the page of Kubernetes' components.
func (v *View) statusz(b []byte, _ healthz.Wants) ([]byte, string) {
	snap, now := v.snapshot.Load(), time.Now()
	up := now.Sub(v.Timeline.Began)
	b = fmt.Appendf(append(b, "usher statusz"+zWarning...),
		"Started: %s\nUp: %d hr %02d min %02d sec\nGo version: %s\nBinary version: %s\n"+
			"Paths: /flagz /healthz /livez /metrics /readyz /startupz /statusz /timeline\n\nPhase: %s, for %v\n",
		v.Timeline.Began.UTC().Format(time.UnixDate), up/time.Hour, up/time.Minute%60, up/time.Second%60,
		runtime.Version(), check.Version, snap.Phase, printable.Round(now.Sub(snap.Since)))
	switch {
	case snap.Waiting != "":
		b = fmt.Appendf(b, "App: not ready: %s\n", printable.Line(snap.Waiting))
	case snap.PID != 0:
		b = fmt.Appendf(b, "App: pid %d, up for %v\n", snap.PID, printable.Round(now.Sub(snap.Started)))
	}
	b = fmt.Appendf(b, "Restarts: %d\nReaped: %d\n", snap.Restarts, v.Counters.Reaped.Load())
	if group := v.Memory.Cgroup(); group != nil {
		b = append(append(b, "Memory: "...), lastword.Bytes(group.Usage())...)
		if limit := group.Limit(); limit > 0 {
			b = append(append(b, " of "...), lastword.Bytes(limit)...)
		}
		b = append(b, '\n')
	}
	for role := range check.Roles {
		for _, p := range snap.Health.probers[role] {
			held, failed, _ := p.Counts()
			state := "ok"
			if st := p.Status(); st.Failure != "" {
				state = printable.Line(st.Failure)
			}
			b = fmt.Appendf(b, "Check %s: %s; %d probes succeeded, %d failed\n", p.Name(), state, held, failed)
		}
	}
	return b, healthz.Plain
}
