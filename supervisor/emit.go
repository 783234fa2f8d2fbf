package supervisor

import (
	"time"

	"usher/signals"
	"usher/supervisor/event"
	"usher/supervisor/exitcode"
	"usher/supervisor/lifecycle"
)

// emit passes an event to the log.
func (s *Supervisor) emit(e event.Event) { s.log.Event(&e) }

// emitSignal reports what became of a signal. In a flood of signals there are
// many such events, so emitSignal makes only those that are shown.
func (s *Supervisor) emitSignal(kind event.Kind, e *signals.Event) {
	if s.log.Verbose() {
		s.emit(event.Event{Kind: kind, Signal: signals.Name(e.Signal), Sender: e.Sender.String()})
	}
}

// stopRequested returns the event of a stop request in the given phase.
func (s *Supervisor) stopRequested(at time.Time, phase lifecycle.Phase) event.Event {
	return event.Event{
		Kind:   event.StopRequested,
		At:     at,
		Signal: signals.Name(s.life.Progress().Signal),
		Sender: s.ending.StopSender(),
		Phase:  phase.String(),
	}
}

// appEnded returns the event of the app's end.
func (s *Supervisor) appEnded(at time.Time) event.Event {
	status := s.ending.Run.Status
	e := event.Event{Kind: event.AppEnded, At: at, ExitCode: exitcode.Of(status)}
	if status.Signaled() {
		e.Signal = signals.Name(status.Signal())
	}
	if sent := s.life.Progress().SignalledAt; !sent.IsZero() {
		e.Took = max(0, at.Sub(sent)) // the app may have ended before that
	}
	return e
}
