package supervisor

import (
	"context"
	"fmt"
	"time"

	"usher/healthz/check"
	"usher/internal/contexts"
	"usher/internal/printable"
	"usher/signals"
	"usher/supervisor/command"
	"usher/supervisor/event"
	"usher/supervisor/exitcode"
	"usher/supervisor/lastword"
	"usher/supervisor/lifecycle"
)

// hookRun is a running hook, or the wait for the checks of --wait-for. There is
// at most one at a time.
type hookRun struct {
	name    string
	fatal   bool // its failure ends the app, or prevents its start
	began   time.Time
	limit   time.Duration // meaningless if the hook has no time limit
	command *command.Command
	cancel  context.CancelFunc // ends a hook without a command
	waits   string             // the check that usher waits for, and why it does not hold yet
}

// prepare begins preparation number n.
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
		done := func(o *command.Outcome) { s.hookEnded(r, o) }
		r.command = &command.Command{Name: name, Argv: h.Command, Done: done}
		s.commands.Run(r.command)
		return
	}
	s.runAsync(r, h.Request.Run)
}

// runAsync runs do, which starts no process, on its own goroutine, and posts
// the result to the loop.
func (s *Supervisor) runAsync(r *hookRun, do func(context.Context) error) {
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

// wait tries the checks of --wait-for, one after the other, until each has held
// once.
func (s *Supervisor) wait() {
	r := s.newHook("wait-for", true)
	r.waits = s.config.WaitFor[0].String()
	s.runAsync(r, func(ctx context.Context) error {
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
		s.emit(event.Event{Kind: event.Waiting, Reason: why})
		s.publish()
	}
}

// hookEnded handles the outcome of a hook. It does nothing if the loop has
// cancelled or detached that hook.
func (s *Supervisor) hookEnded(r *hookRun, o *command.Outcome) {
	if s.hook != r {
		return
	}
	s.hook = nil
	err := o.Failure()
	if err != nil {
		s.hookFailed(r, err.Error(), o.Code())
	} else {
		s.emit(event.Event{Kind: event.HookSucceeded, Hook: r.name, Took: time.Since(r.began)})
	}
	s.step(&lifecycle.Event{Kind: lifecycle.HookEnded, At: time.Now(), Failed: err != nil})
}

// hookFailed logs the failure of a hook. The failure is the reason for the end,
// or a note to that reason.
func (s *Supervisor) hookFailed(r *hookRun, why string, code int) {
	e := event.Event{Kind: event.HookFailed, Hook: r.name, Reason: why, Took: time.Since(r.began)}
	s.emit(e)
	message := e.Text()
	if !r.fatal {
		s.ending.Notes = append(s.ending.Notes, message)
		return
	}
	s.ending.Run.Fatal = &lastword.Record{Reason: lastword.HookFailed, Message: message, ExitCode: code}
	if r.waits != "" {
		s.ending.Run.Fatal.Reason = lastword.WaitTimeout
	}
}

func (s *Supervisor) expireHook() {
	r := s.hook
	why := fmt.Sprintf("no end within %v", printable.Round(r.limit))
	if last := s.endHook(r); last != "" {
		why += ": " + last
	}
	s.hook = nil
	s.hookFailed(r, why, exitcode.TimedOut)
}

func (s *Supervisor) cancelHook() {
	if r := s.hook; r != nil {
		s.endHook(r)
		s.emit(event.Event{Kind: event.HookCut, Hook: r.name, Took: time.Since(r.began)})
		s.hook = nil
	}
}

// detachHook stops waiting for the hook, because a stop was requested before
// the app was started. Nothing has failed. A command gets SIGTERM, as
// stragglers do.
func (s *Supervisor) detachHook() {
	r := s.hook
	s.hook = nil
	if r.command == nil {
		s.endHook(r)
	}
	sig := s.life.Progress().Signal
	during := r.name
	if r.waits != "" {
		during += " " + r.waits
	}
	s.ending.Run.Fatal = &lastword.Record{
		Reason:   lastword.Signaled,
		ExitCode: s.ending.Mapped(128 + int(sig)),
		Message: fmt.Sprintf("%s from %s before the app was started, during %s",
			signals.Name(sig), s.ending.StopSender(), during),
	}
}

// endHook ends r. It returns the last line of a command's output, or the check
// that usher was waiting for.
func (s *Supervisor) endHook(r *hookRun) string {
	if r.command == nil {
		r.cancel()
		return r.waits
	}
	r.command.Kill()
	return s.commands.LastLine(r.command)
}
