package supervisor

import (
	"time"

	"usher/supervisor/lastword"
	"usher/supervisor/lifecycle"
	"usher/supervisor/process"
)

// startFailed reports that the app could not be started.
func (s *Supervisor) startFailed(err error) {
	x := s.explain.Explain(s.config.Command, err)
	if s.config.StartCode != 0 {
		x.Code = s.config.StartCode
	}
	s.log.Errorf("%s", x.Why)
	if x.Hint != "" {
		s.log.Errorf("hint: %s", x.Hint)
	}
	s.fatal = &lastword.Record{Reason: lastword.StartError, Message: x.Why, Hint: x.Hint, ExitCode: x.Code}
	// An app that was started once may be startable again: its file is being
	// replaced, or there is no memory.
	s.step(&lifecycle.Event{Kind: lifecycle.AppEnded, At: time.Now(), Failed: true, Final: s.restarted == 0,
		Last: process.Alone(s.self, s.childless)})
}
