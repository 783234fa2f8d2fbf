package supervisor

import (
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"usher/signals"
)

// Stage is a part of a stop.
type Stage struct {
	At    time.Duration // from t0, at the latest
	Takes time.Duration // at most; 0 is a moment, negative is as long as it takes
	What  string
	Flag  string // that says so; "" is usher itself
}

// timeline is a Plan in the making.
type timeline struct {
	stages []Stage
	at     time.Duration
}

//go:noinline
func (l *timeline) add(takes time.Duration, what, flag string) {
	l.stages = append(l.stages, Stage{l.at, takes, what, flag})
	l.at += max(takes, 0)
}

// maybe adds what takes time.
func (l *timeline) maybe(takes time.Duration, what, flag string) {
	if takes > 0 {
		l.add(takes, what, flag)
	}
}

// Plan is what a stop will do if all takes as long as it may. The Config has to be valid.
func (c *Config) Plan() []Stage {
	t := c.timing()
	var l timeline
	var begin []signals.Signal
	for _, sig := range c.StopSignals {
		if c.Rewrites.Apply(sig) != 0 {
			begin = append(begin, sig)
		}
	}
	if len(begin) == 0 {
		l.add(0, "no stop: "+stopNames(c.StopSignals)+" is swallowed", "--rewrite")
		return l.stages
	}
	unready := "; /readyz fails"
	if c.ReadyWhileDraining {
		unready = "; /readyz stays as it is"
	}
	l.add(0, "stop signal: "+stopNames(begin)+unready, "--stop-signals")
	hold := "hold: the app keeps serving"
	if c.QuietPeriod > 0 {
		hold += ", until traffic is quiet for " + c.QuietPeriod.String()
	}
	l.maybe(t.hold, hold, "--term-delay")
	l.maybe(t.drain, "drain: what is being answered may finish", "--drain-timeout")
	l.maybe(t.preStop, "pre-stop: "+c.PreStop.String(), "--pre-stop")
	killed := l.schedule(c, &t)
	switch {
	case !killed && t.limit > 0:
		l.at = t.limit
		l.add(0, "SIGKILL", "--grace-period")
	case !killed:
		l.add(0, "never SIGKILL: there is no --grace-period, and no KILL in a --stop-schedule", "")
	}
	left := t.stragglers
	if t.limit > 0 {
		left = max(0, min(left, t.limit-l.at))
	}
	l.add(left, "what the app leaves behind gets SIGTERM, then SIGKILL", "--straggler-grace")
	l.maybe(t.postStop, "post-stop: "+c.PostStop.String(), "--post-stop")
	l.at = max(l.at, t.end)
	l.add(wordTime(c.GracePeriod), "the reason is written", "")
	if t.end > 0 {
		l.add(0, "the orchestrator's SIGKILL", "--grace-period")
	}
	return l.stages
}

// schedule adds what the app is sent, and reports whether SIGKILL is among it.
func (l *timeline) schedule(c *Config, t *timing) (killed bool) {
	flag, n := "", len(t.schedule.Items)
	if n > 0 {
		flag = "--stop-schedule"
	}
	for i := range max(1, n) {
		item, _ := t.schedule.at(i)
		what := "the app gets the stop signal" + rewritten(c)
		if item.Signal == unix.SIGKILL {
			l.add(0, "SIGKILL", flag)
			return true
		}
		if item.Signal != 0 {
			what = "the app gets " + signals.Name(item.Signal)
		}
		if i >= n-1 { // until its end, or that of the budget
			item.Wait = -1
			if t.limit > 0 {
				item.Wait = t.limit - l.at
			}
			if t.schedule.Repeat > 0 {
				what += ", again and again"
			}
		}
		l.add(item.Wait, what, flag)
	}
	return false
}

func stopNames(list []signals.Signal) string {
	var names []string
	for _, sig := range list {
		names = append(names, signals.Name(sig))
	}
	return strings.Join(names, " or ")
}

// rewritten says what becomes of the stop signals.
func rewritten(c *Config) string {
	for _, sig := range c.StopSignals {
		if to := c.Rewrites.Apply(sig); to != sig && to != 0 {
			return ", " + signals.Name(sig) + " as " + signals.Name(to)
		}
	}
	return ""
}

// String is what is done; "" for none.
func (h *Hook) String() string {
	if h == nil {
		return ""
	}
	if len(h.Command) > 0 {
		return strings.Join(h.Command, " ")
	}
	return h.Request.String()
}
