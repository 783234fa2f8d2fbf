package notify

import (
	"strconv"
	"time"
)

// State holds what the app has reported so far. The zero value stands for no
// report. A State never changes: Observe returns the next one.
type State struct {
	Ready    bool          // READY=1 has come
	Stopping bool          // STOPPING=1 has come
	Status   string        // the last STATUS
	Watchdog time.Duration // how often the app has to report that it is alive; 0 for no watchdog

	alive    time.Time // when the app last reported that it is alive, or ready
	trigger  bool
	extended time.Time // the app has asked for time until then
}

// Observe returns the state after a message.
func (s State) Observe(m Message, now time.Time) State {
	if m.Ready && !s.Ready || m.Alive {
		s.alive, s.trigger = now, false // the watchdog begins with readiness (systemd.service(5), WatchdogSec=)
	}
	s.Ready = s.Ready || m.Ready
	s.Stopping = s.Stopping || m.Stopping
	s.trigger = s.trigger || m.Trigger
	if m.Watchdog != nil {
		s.Watchdog, s.alive = *m.Watchdog, now
	}
	if m.Extend > 0 {
		s.extended = now.Add(m.Extend)
	}
	if m.Status != nil {
		s.Status = *m.Status
	}
	return s
}

// Extended returns until when the app has asked for time to start or to stop.
// It is zero if the app has not asked.
func (s State) Extended() time.Time { return s.extended }

// Due returns when the watchdog runs out. The watchdog starts at began, the
// start of the app. If there is no watchdog, ok is false.
func (s State) Due(began time.Time) (due time.Time, ok bool) {
	if s.alive.After(began) {
		began = s.alive
	}
	if s.trigger {
		return began, true
	}
	return began.Add(s.Watchdog), s.Watchdog > 0
}

// Overdue says that the watchdog has run out; it returns "" if it has not.
func (s State) Overdue(began, now time.Time) string {
	due, ok := s.Due(began)
	switch {
	case s.trigger:
		return "the app said WATCHDOG=trigger"
	case !ok || now.Before(due):
		return ""
	}
	return "no WATCHDOG=1 for " + now.Sub(due.Add(-s.Watchdog)).Round(time.Millisecond).String()
}

// Unready says why the app is not ready by its own account; it returns "" if it
// is.
func (s State) Unready() string {
	switch {
	case s.Stopping:
		return "the app said STOPPING=1"
	case s.Ready:
		return ""
	case s.Status != "":
		return "no READY=1 yet; the app says " + strconv.Quote(s.Status)
	}
	return "no READY=1 yet"
}
