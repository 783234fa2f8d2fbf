package lifecycle

import (
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"usher/signals"
)

// Stage is a part of a stop.
type Stage struct {
	At    time.Duration // latest begin, counted from t0; after a stage without a limit: earliest begin
	Takes time.Duration // longest duration; 0 means a moment, negative means no limit
	What  string
	Flag  string // the flag that sets this; "" if usher itself does
}

// planner is a Plan under construction.
type planner struct {
	stages []Stage
	at     time.Duration
}

//go:noinline
func (l *planner) add(takes time.Duration, what, flag string) {
	l.stages = append(l.stages, Stage{l.at, takes, what, flag})
	l.at += max(takes, 0)
}

// maybe adds a stage if it takes time.
func (l *planner) maybe(takes time.Duration, what, flag string) {
	if takes > 0 {
		l.add(takes, what, flag)
	}
}

// Plan returns the stages of a stop in which each part takes as long as it may.
// The Options must be valid.
func (o *Options) Plan() []Stage {
	t := o.Timing()
	var l planner
	var begin []signals.Signal
	for _, sig := range o.StopSignals {
		if o.Rewrites.Apply(sig) != 0 {
			begin = append(begin, sig)
		}
	}
	if len(begin) == 0 {
		l.add(0, "no stop: "+stopNames(o.StopSignals)+" is swallowed", "--rewrite")
		return l.stages
	}
	unready := "; /readyz fails"
	if o.ReadyWhileDraining {
		unready = "; /readyz stays as it is"
	}
	l.add(0, "stop signal: "+stopNames(begin)+unready, "--stop-signals")
	hold := "hold: the app keeps serving"
	if o.Quiet > 0 {
		until := ", until traffic is quiet for "
		if o.QuietNewOnly {
			until = ", until no new connection for "
		}
		hold += until + o.Quiet.String()
	}
	l.maybe(t.Hold, hold, "--term-delay")
	l.maybe(t.Drain, "drain: what is being answered may finish", "--drain-timeout")
	l.maybe(t.PreStop, "pre-stop: "+o.PreStop, "--pre-stop")
	killed := l.schedule(o, &t)
	switch {
	case !killed && t.Limit > 0:
		l.at = t.Limit
		l.add(0, "SIGKILL", "--grace-period")
	case !killed:
		l.add(0, "never SIGKILL: no time limit", "--grace-period")
	}
	left := t.Stragglers
	if t.Limit > 0 {
		left = max(0, min(left, t.Limit-l.at))
	}
	l.add(left, "what the app leaves behind gets SIGTERM, then SIGKILL", "--straggler-grace")
	l.maybe(t.PostStop, "post-stop: "+o.PostStop, "--post-stop")
	l.at = max(l.at, t.End)
	l.add(WordTime(o.Grace), "the reason is written", "")
	if t.End > 0 {
		l.add(0, "the orchestrator's SIGKILL", "--grace-period")
	}
	return l.stages
}

// schedule adds the signals that the app gets, and reports whether SIGKILL is
// among them.
func (l *planner) schedule(o *Options, t *Timing) (killed bool) {
	flag, n := "", len(t.Schedule.Items)
	if n > 0 {
		flag = "--stop-schedule"
	}
	for i := range max(1, n) {
		item, _ := t.Schedule.at(i)
		what := "the app gets the stop signal" + rewritten(o)
		if item.Signal == unix.SIGKILL {
			l.add(0, "SIGKILL", flag)
			return true
		}
		if item.Signal != 0 {
			what = "the app gets " + signals.Name(item.Signal)
		}
		if i >= n-1 { // the last item waits until the app ends, or the budget
			item.Wait = -1
			if t.Limit > 0 {
				item.Wait = t.Limit - l.at
			}
			if t.Schedule.Repeat > 0 {
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

// rewritten describes what --rewrite does to the stop signals.
func rewritten(o *Options) string {
	for _, sig := range o.StopSignals {
		if to := o.Rewrites.Apply(sig); to != sig && to != 0 {
			return ", " + signals.Name(sig) + " as " + signals.Name(to)
		}
	}
	return ""
}
