package probe

import (
	"fmt"
	"strings"
	"time"

	"usher/healthz"
	"usher/healthz/check"
	"usher/supervisor/lastword"
)

// Changes of the app's health are news: each is one line in the log. An app
// that changes all the time gets a line now and then, with a count.

// newsPause is the least time between two lines on the same subject.
const newsPause = 5 * time.Second

// news decides what the log says of one side of the app's health: that it is
// ready, or that it is live. It has no clock.
type news struct {
	good, bad, again string // how lines begin: "ready", "not ready", "ready again"

	told    bool      // the log says that it is good
	known   bool      // the log says anything
	since   time.Time // when the state that the log says began
	next    time.Time // no line before that
	changes int       // that the log has not said one by one
	last    bool      // the last state that was seen
}

// see takes the present state, why it is bad or "", and returns the line that
// is due, "" for none, and when to look again, zero for not before the next
// change.
func (n *news) see(why string, now time.Time) (line string, look time.Time) {
	good := why == ""
	if good != n.last {
		n.last = good
		n.changes++
	}
	switch {
	case n.known && good == n.told:
		return "", time.Time{}
	case now.Before(n.next):
		return "", n.next
	}
	switch {
	case !good:
		line = n.bad + ": " + why
	case n.known:
		line = fmt.Sprintf("%s after %v", n.again, lastword.Round(now.Sub(n.since)))
	default:
		line = fmt.Sprintf("%s after %v", n.good, lastword.Round(now.Sub(n.since)))
	}
	if n.changes > 1 {
		line += fmt.Sprintf(" (%d changes)", n.changes)
	}
	n.told, n.known, n.since, n.next, n.changes = good, true, now, now.Add(newsPause), 0
	return line, time.Time{}
}

// overdue is the line for an app that has never been good for so long.
func (n *news) overdue(why string, now time.Time) string {
	if n.known || why == "" {
		return ""
	}
	// The next line is "ready after …", counted from the app's start.
	return fmt.Sprintf("%s yet after %v: %s", n.bad, lastword.Round(now.Sub(n.since)), why)
}

// Tell writes the news of one life of the app, until a stop begins or the app
// ends. It sleeps while nothing changes.
func (v *View) Tell(h *Health, began time.Time) {
	ready := news{good: "ready", bad: "not ready", again: "ready again", since: began}
	live := news{bad: "unhealthy", again: "live again", told: true, known: true, last: true, since: began}
	waits := len(h.probers[check.Startup])+len(h.probers[check.Ready]) > 0
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
		now := time.Now()
		line, next := live.see(failures(v.livez(nil)), now)
		v.inform(line)
		if waits {
			why := failures(v.ready(nil))
			if late {
				v.inform(ready.overdue(why, now))
			}
			if !ready.known && why != "" { // no news yet: it has never been ready
				ready.last = false
			} else {
				var at time.Time
				if !ready.known {
					h.readyAfter.Store(int64(now.Sub(began)))
				}
				line, at = ready.see(why, now)
				v.inform(line)
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

func (v *View) inform(line string) {
	if line != "" {
		v.Log.Infof("%s", line)
	}
}

// patience is how long the app may take to become ready, by the parameters of
// its startup and ready checks.
func (v *View) patience() (d time.Duration) {
	for _, role := range []check.Role{check.Startup, check.Ready} {
		if of := &v.Checks[role]; len(of.Checks) > 0 {
			d += of.Params.InitialDelay + of.Params.Period*time.Duration(of.Params.FailureThreshold)
		}
	}
	return d
}

// failures is what has failed, "" for nothing.
func failures(results []healthz.Result) string {
	var list []string
	for _, r := range results {
		if r.Failure != "" {
			list = append(list, r.Name+": "+r.Failure)
		}
	}
	return strings.Join(list, "; ")
}
