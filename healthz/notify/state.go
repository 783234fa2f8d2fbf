package notify

import (
	"strconv"
	"time"
)

// State is what the app has said so far; the zero value is nothing. Nobody changes one: Observe makes the next.
type State struct {
	Ready    bool          // READY=1 has come
	Stopping bool          // STOPPING=1 has come
	Status   string        // the last one
	Watchdog time.Duration // how often the app has to say that it is alive; 0 is not at all

	alive    time.Time // when it last said so, or that it is ready
	trigger  bool
	extended time.Time // it has asked for time until then
}

// Observe takes a message.
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

// Extended is until when the app has asked for more time to start or to stop; zero if it has not.
func (s State) Extended() time.Time { return s.extended }

// Due is when the watchdog runs out. It begins with began, which is when the app had started; ok is whether there is one.
func (s State) Due(began time.Time) (due time.Time, ok bool) {
	if s.alive.After(began) {
		began = s.alive
	}
	if s.trigger {
		return began, true
	}
	return began.Add(s.Watchdog), s.Watchdog > 0
}

// Overdue says that the watchdog has run out; "" if it has not.
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

// Unready says why the app is not ready by its own account; "" if it is.
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
