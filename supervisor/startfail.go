package supervisor

import (
	"time"

	"usher/signals/entry"
	"usher/supervisor/lastword"
	"usher/supervisor/lifecycle"
	"usher/supervisor/process"
	"usher/supervisor/spawn"
)

func (s *Supervisor) startFailed(err error) {
	x := s.explain(s.config.Command, err)
	code := x.code
	if s.config.StartCode != 0 {
		code = s.config.StartCode
	}
	s.log.Errorf("%s", x.why)
	if x.hint != "" {
		s.log.Errorf("hint: %s", x.hint)
	}
	s.fatal = &lastword.Record{Reason: lastword.StartError, Message: x.why, Hint: x.hint, ExitCode: code}
	// What could be started once may be so again: it is being replaced, or there is no memory.
	s.step(&lifecycle.Event{Kind: lifecycle.AppEnded, At: time.Now(), Failed: true, Final: s.restarted == 0, Last: process.Alone(s.self, s.childless)})
}

// explainTime bounds an explanation, which looks at files: a file system may not answer.
const explainTime = time.Second

// explain finds out why a command could not be started. The loop waits for that, but not for long: then the errno has to do, and for as long
// as that look at the files goes on there is no other.
func (s *Supervisor) explain(command []string, err error) *explainer {
	x := &explainer{disk: &realDisk, env: s.config.Env, as: s.as}
	if x.as == nil {
		x.as = spawn.OwnIdentity()
	}
	look := func() {
		entry.Raise()
		defer entry.Restore()
		x.explain(command, err)
	}
	if !s.config.besides() { // without timers, and usher is at its end
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
	return unexplained(command, err)
}
