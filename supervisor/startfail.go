package supervisor

import (
	"time"

	"usher/signals/entry"
	"usher/supervisor/explain"
	"usher/supervisor/lastword"
	"usher/supervisor/lifecycle"
	"usher/supervisor/process"
)

// startFailed reports that the app could not be started.
func (s *Supervisor) startFailed(err error) {
	x := s.explain(s.config.Command, err)
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

// explainTime bounds an explanation. It looks at files, and a file system may not
// answer.
const explainTime = time.Second

// explain finds out why a command could not be started. The loop waits for that,
// but only for explainTime. After that, the errno has to do, and there is no
// further explanation until the file system has answered.
func (s *Supervisor) explain(command []string, err error) explain.Explanation {
	var x explain.Explanation
	look := func() {
		entry.Raise()
		defer entry.Restore()
		x = explain.Start(command, s.config.Env, s.as, err)
	}
	if !s.config.besides() { // there are no timers, and usher is about to end
		look()
		return x
	}
	select {
	case <-s.explained:
		s.explained = nil
	default:
	}
	if s.explained == nil {
		done := make(chan struct{})
		go func() {
			look()
			close(done)
		}()
		limit := time.NewTimer(explainTime)
		defer limit.Stop()
		select {
		case <-done:
			return x
		case <-limit.C:
			s.explained = done
		}
	}
	return explain.ByErrno(command, err)
}
