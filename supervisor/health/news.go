package health

import (
	"cmp"
	"strings"
	"time"

	"usher/healthz"
	"usher/healthz/check"
	"usher/supervisor/event"
)

// The log gets one line for each change of the app's health. An app that
// changes all the time gets a line now and then, with a count.

// newsPause is the shortest time between two lines on the same subject.
const newsPause = 5 * time.Second

// news decides what the log says about one side of the app's health: whether it
// is ready, or whether it is live. It has no clock.
type news struct {
	good, bad, again, late event.Kind // the possible events: ready, not ready, ready again, not ready yet

	logged  bool      // the state in the log: good or not
	known   bool      // there is a state in the log
	since   time.Time // when the state in the log began
	next    time.Time // earliest time of the next line
	changes int       // number of changes since the last line
	last    bool      // the last state that was seen
}

// see takes the present state: the name of the first failing check and the
// reason, or "". It returns the event to log, or nil, and when to look again.
// Zero means not before the next change.
func (n *news) see(check, why string, now time.Time) (e *event.Event, look time.Time) {
	good := why == ""
	if good != n.last {
		n.last = good
		n.changes++
	}
	switch {
	case n.known && good == n.logged:
		return nil, time.Time{}
	case now.Before(n.next):
		return nil, n.next
	}
	e = &event.Event{Kind: n.good, At: now, Took: now.Sub(n.since)}
	switch {
	case !good:
		e = &event.Event{Kind: n.bad, At: now, Check: check, Reason: why}
	case n.known:
		e.Kind = n.again
	}
	if n.changes > 1 {
		e.Count = n.changes
	}
	n.logged, n.known, n.since, n.next, n.changes = good, true, now, now.Add(newsPause), 0
	return e, time.Time{}
}

// overdue returns the event for an app that has not been good since its start,
// or nil.
func (n *news) overdue(check, why string, now time.Time) *event.Event {
	if n.known || why == "" {
		return nil
	}
	// The next line is "ready after …", counted from the app's start.
	return &event.Event{Kind: n.late, At: now, Took: now.Sub(n.since), Check: check, Reason: why}
}

// LogChanges logs the changes in one run of the app, until a stop begins or the
// app ends. It sleeps while nothing changes. If the loop stops an unhealthy app,
// LogChanges leaves that line to the loop: it might come too late.
func (v *View) LogChanges(h *Health, began time.Time) {
	ready := news{
		good: event.Ready, bad: event.NotReady, again: event.ReadyAgain, late: event.NotReadyYet, since: began,
	}
	live := news{bad: event.Unhealthy, again: event.LiveAgain, logged: true, known: true, last: true, since: began}
	waits := len(h.probers[check.Startup])+len(h.probers[check.Ready]) > 0
	startsUp := len(h.probers[check.Startup]) > 0
	patience := time.NewTimer(v.patience())
	defer patience.Stop()
	pause := time.NewTimer(time.Hour)
	defer pause.Stop()
	for {
		late := false
		select {
		case <-h.toStop.Done():
			return
		case <-h.changed:
		case <-pause.C:
		case <-patience.C:
			late = true
		}
		if h.toStop.Err() != nil {
			return
		}
		if startsUp && h.started.Load() {
			startsUp = false
			v.inform(&event.Event{Kind: event.StartedUp, At: h.startedAt, Took: h.startedAt.Sub(began)})
		}
		now := time.Now()
		var e *event.Event
		var next time.Time
		if !v.Stops {
			name, why := failures(v.livez(nil))
			e, next = live.see(name, why, now)
			v.inform(e)
		}
		if waits {
			name, why := failures(v.ready(nil))
			if late {
				v.inform(ready.overdue(name, why, now))
			}
			if !ready.known && why != "" { // it has never been ready, which is no news
				ready.last = false
			} else {
				var at time.Time
				if !ready.known {
					h.readyAfter.Store(int64(now.Sub(began)))
				}
				e, at = ready.see(name, why, now)
				v.inform(e)
				if next.IsZero() || !at.IsZero() && at.Before(next) {
					next = at
				}
			}
		}
		pause.Stop()
		if !next.IsZero() {
			pause.Reset(time.Until(next))
		}
	}
}

func (v *View) inform(e *event.Event) {
	if e != nil {
		v.Log.Event(e)
	}
}

// patience returns how long the app may take to become ready, by the parameters
// of its startup and ready checks.
func (v *View) patience() (d time.Duration) {
	for _, role := range []check.Role{check.Startup, check.Ready} {
		if of := &v.Checks[role]; len(of.Checks) > 0 {
			d += of.Params.InitialDelay + of.Params.Period*time.Duration(of.Params.FailureThreshold)
		}
	}
	return d
}

// failures returns the first check that has failed, and all failures as one
// text, or "".
func failures(results []healthz.Result) (first, all string) {
	var list []string
	for _, r := range results {
		if r.Failure != "" {
			first = cmp.Or(first, r.Name)
			list = append(list, r.Name+": "+r.Failure)
		}
	}
	return first, strings.Join(list, "; ")
}
