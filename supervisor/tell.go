package supervisor

import (
	"time"

	"usher/signals"
	"usher/supervisor/event"
	"usher/supervisor/exitcode"
	"usher/supervisor/lifecycle"
)

// tell reports an event.
func (s *Supervisor) tell(e event.Event) { s.log.Event(&e) }

// tellSignal reports what became of a signal. In a flood of signals that is a
// lot, so nothing is made that is not shown.
func (s *Supervisor) tellSignal(kind event.Kind, e *signals.Event) {
	if s.log.Verbose() {
		s.tell(event.Event{Kind: kind, Signal: signals.Name(e.Signal), Sender: e.Sender.String()})
	}
}

// stopRequested is the event of a stop's begin, in that phase.
func (s *Supervisor) stopRequested(at time.Time, phase lifecycle.Phase) event.Event {
	return event.Event{
		Kind:   event.StopRequested,
		At:     at,
		Signal: signals.Name(s.life.Progress().Signal),
		Sender: s.report.StopSender(),
		Phase:  phase.String(),
	}
}

// appEnded is the event of the app's end.
func (s *Supervisor) appEnded(at time.Time) event.Event {
	status := s.report.Run.Status
	e := event.Event{Kind: event.AppEnded, At: at, ExitCode: exitcode.Of(status)}
	if status.Signaled() {
		e.Signal = signals.Name(status.Signal())
	}
	if told := s.life.Progress().SignalledAt; !told.IsZero() {
		e.Took = max(0, at.Sub(told)) // the app may have ended before
	}
	return e
}
