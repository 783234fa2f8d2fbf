package supervisor

import (
	"context"
	"fmt"
	"time"

	"usher/healthz/check"
	"usher/internal/contexts"
	"usher/signals"
	"usher/supervisor/command"
	"usher/supervisor/exitcode"
	"usher/supervisor/lastword"
	"usher/supervisor/lifecycle"
)

// hookRun is a hook at work, or the wait for what --wait-for names. There is one at a time.
type hookRun struct {
	name    string
	fatal   bool // its failure is the app's end, or keeps it from being started
	began   time.Time
	limit   time.Duration // if there is one
	command *command.Command
	cancel  context.CancelFunc // without a command
	waits   string             // what is waited for, and why that does not hold yet
}

// prepare begins the preparation number n.
func (s *Supervisor) prepare(n int) {
	if len(s.config.WaitFor) > 0 {
		if n--; n < 0 {
			s.wait()
			return
		}
	}
	s.runHook(fmt.Sprintf("pre-start-%d", n+1), &command.Action{Command: s.config.PreStart[n]}, true)
}

func (s *Supervisor) newHook(name string, fatal bool) *hookRun {
	st := s.life.Progress()
	s.hook = &hookRun{name: name, fatal: fatal, began: time.Now(), limit: st.Deadline.Sub(st.Since)}
	return s.hook
}

func (s *Supervisor) runHook(name string, h *command.Action, fatal bool) {
	r := s.newHook(name, fatal)
	if len(h.Command) > 0 {
		r.command = &command.Command{Name: name, Argv: h.Command, Done: func(o *command.Outcome) { s.hookEnded(r, o) }}
		s.commands.Run(r.command)
		return
	}
	s.beside(r, h.Request.Run)
}

// beside does what takes no process on a goroutine.
func (s *Supervisor) beside(r *hookRun, do func(context.Context) error) {
	ctx, cancel := contexts.WithCancel(context.Background())
	r.cancel = cancel
	go func() {
		err := do(ctx)
		s.post(func() { s.hookEnded(r, &command.Outcome{Err: err}) })
	}()
}

const (
	waitPoll = 250 * time.Millisecond // between two tries
	waitTry  = 5 * time.Second        // for one try
)

// wait tries what has to hold before the app is started, one after the other, until each has held once.
func (s *Supervisor) wait() {
	r := s.newHook("wait-for", true)
	r.waits = s.config.WaitFor[0].String()
	s.beside(r, func(ctx context.Context) error {
		for _, c := range s.config.WaitFor {
			for last := ""; ; {
				err := try(ctx, c)
				if err == nil {
					break
				}
				if why := fmt.Sprintf("%v: %v", c, err); why != last && ctx.Err() == nil {
					last = why
					s.post(func() { s.waiting(r, why) })
				}
				select {
				case <-ctx.Done():
					return ctx.Err()
				case <-time.After(waitPoll):
				}
			}
		}
		return nil
	})
}

func try(ctx context.Context, c *check.Check) error {
	ctx, cancel := contexts.WithTimeout(ctx, waitTry)
	defer cancel()
	return c.Run(ctx)
}

func (s *Supervisor) waiting(r *hookRun, why string) {
	if s.hook == r {
		r.waits = why
		s.log.Infof("waiting for %s", why)
		s.publish()
	}
}

// hookEnded has an outcome, which matters only as long as somebody waits for it.
func (s *Supervisor) hookEnded(r *hookRun, o *command.Outcome) {
	if s.hook != r {
		return
	}
	s.hook = nil
	err := o.Failure()
	if err != nil {
		s.hookFailed(r, err.Error(), o.Code())
	} else {
		s.log.Debugf("%s has succeeded after %v", r.name, lastword.Round(time.Since(r.began)))
	}
	s.step(&lifecycle.Event{Kind: lifecycle.HookEnded, At: time.Now(), Failed: err != nil})
}

// hookFailed is an error in the log, and the reason for the end or a part of it.
func (s *Supervisor) hookFailed(r *hookRun, why string, code int) {
	message := r.name + " failed: " + why
	s.log.Errorf("%s", message)
	if !r.fatal {
		s.report.Notes = append(s.report.Notes, message)
		return
	}
	s.report.Run.Fatal = &lastword.Record{Reason: lastword.HookFailed, Message: message, ExitCode: code}
	if r.waits != "" {
		s.report.Run.Fatal.Reason = lastword.WaitTimeout
	}
}

func (s *Supervisor) expireHook() {
	r := s.hook
	why := fmt.Sprintf("no end within %v", lastword.Round(r.limit))
	if last := s.stop(r); last != "" {
		why += ": " + last
	}
	s.hook = nil
	s.hookFailed(r, why, exitcode.TimedOut)
}

func (s *Supervisor) abandonHook() {
	if r := s.hook; r != nil {
		s.stop(r)
		s.log.Debugf("%s was cut short", r.name)
		s.hook = nil
	}
}

// disownHook is for a stop before there is an app: nothing has failed, and a command is told as what the app leaves behind is.
func (s *Supervisor) disownHook() {
	r := s.hook
	s.hook = nil
	if r.command == nil {
		s.stop(r)
	}
	sig := s.life.Progress().Signal
	during := r.name
	if r.waits != "" {
		during += " " + r.waits
	}
	s.report.Run.Fatal = &lastword.Record{Reason: lastword.Signaled, ExitCode: s.report.Mapped(128 + int(sig)),
		Message: fmt.Sprintf("%s from %s before the app was started, during %s", signals.Name(sig), s.report.StopSender(), during)}
}

// stop ends r. It returns the last line of a command's output, or what was waited
// for.
func (s *Supervisor) stop(r *hookRun) string {
	if r.command == nil {
		r.cancel()
		return r.waits
	}
	r.command.Kill()
	return s.commands.LastLine(r.command)
}
