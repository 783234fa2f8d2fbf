package lifecycle

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// played is a trace in progress, and what has been seen of it, kept apart from
// the table.
type played struct {
	stop                          Machine
	now, asked, told              time.Time
	ready                         bool      // when asked
	retry                         bool      // usher itself has asked, and nobody else
	forGood                       time.Time // when somebody else did after that
	alive, hook, prepFailed       bool
	done                          int // preparations
	launches, postStops, finishes int
	kills, sweeps, clears         int // of this run
}

// input lets time pass, and then the thing happen.
func (p *played) input(in *input) error {
	next := p.now.Add(in.after)
	if in.refused {
		p.stop.KillRefused(p.now)
		p.alive = false // as far as anything can be done about it
		e := in.event
		e.At = p.now
		return p.happens(e)
	}
	if in.event.Kind == TimeUp {
		next = latest(p.now, p.stop.now.Deadline)
	}
	// The loop sleeps until something happens or a deadline comes, whichever is first.
	turns := 0
	for d := p.stop.now.Deadline; !d.IsZero() && !d.After(next); d = p.stop.now.Deadline {
		if err := p.happens(Event{Kind: TimeUp, At: latest(p.now, d)}); err != nil {
			return err
		}
		if turns++; turns > 60 {
			return errors.New("the deadline has passed and stays")
		}
	}
	e := in.event
	e.At = next
	if !in.possible(p) { // any more
		p.now = next
		return nil
	}
	return p.happens(e)
}

func (in *input) possible(p *played) bool { return in.can == nil || in.can(p) }

// happens takes one step and looks at its actions.
func (p *played) happens(e Event) error {
	p.now = e.At
	switch e.Kind {
	case StopRequested:
		if p.retry && e.Cause == "" && p.stop.now.Phase == BackingOff {
			p.asked, p.told, p.retry = time.Time{}, time.Time{}, false
		}
		if p.asked.IsZero() && p.finishes == 0 {
			p.asked, p.ready, p.retry = e.At, e.NoHold == "", e.Retry
		}
		if p.retry && !e.Retry {
			p.retry, p.forGood = false, e.At
		}
	case AppEnded:
		p.alive = false
	case HookEnded:
		p.hook = false
		if p.launches == 0 {
			p.done++
			p.prepFailed = e.Failed
		}
	}
	before := p.stop.now.Phase
	actions := p.stop.Step(&e)
	if err := p.look(&e, actions); err != nil {
		return err
	}
	if e.Kind == Signalled && p.stop.now.Phase != before {
		return errors.New("a signal that is no stop signal changed the phase")
	}
	if p.stop.now.Phase.Sweeps() && !before.Sweeps() && e.Last {
		return errors.New("nobody is left, and waited for")
	}
	return p.holds()
}

func (p *played) look(e *Event, actions []Action) error {
	for i, a := range actions {
		switch {
		case p.finishes > 0:
			return fmt.Errorf("action %d after the end", a.Verb)
		case (a.Verb == Forward || a.Verb == Send || a.Verb == Kill) && !p.alive:
			return errors.New("an app is Signalled that is not there")
		case (a.Verb == Forward || a.Verb == Send) && p.kills > 0:
			return errors.New("a signal after SIGKILL")
		case (a.Verb == Sweep || a.Verb == Clear || a.Verb == Launch) && p.alive:
			return fmt.Errorf("action %d, and the app lives", a.Verb)
		case a.Verb == Save && (p.launches > 0 || a.Signal == nil):
			return errors.New("a signal is kept")
		case a.Verb == Launch && (i < len(actions)-1 || !p.asked.IsZero() && !p.retry || p.prepFailed || p.done < len(p.stop.timing.Prepare)):
			return errors.New("the app should not be started")
		}
		switch a.Verb {
		case Forward, Send:
			if a.Verb == Send || a.Signal.Signal != unix.SIGHUP {
				p.told = p.now
			}
		case Kill:
			if p.told.IsZero() {
				return errors.New("SIGKILL before the app was told")
			}
			p.kills++
		case Launch:
			p.launches++
			p.alive = true
			p.kills, p.sweeps, p.clears = 0, 0, 0
			if p.retry { // this stop is over
				p.asked, p.told, p.retry = time.Time{}, time.Time{}, false
			}
			return p.happens(Event{Kind: AppStarted, At: p.now})
		case Prepare, PostStart, PreStop, PostStop:
			if p.hook {
				return errors.New("two hooks at a time")
			}
			p.hook = true
			if a.Verb == PostStop {
				if p.postStops++; p.alive || p.postStops > 1 {
					return errors.New("post-stop with an app, or twice")
				}
			}
		case ExpireHook, CancelHook, DetachHook:
			if !p.hook || a.Verb == DetachHook && p.launches > 0 {
				return fmt.Errorf("there is no hook to end by %d", a.Verb)
			}
			p.hook = false
			p.prepFailed = p.prepFailed || p.launches == 0
		case Sweep:
			p.sweeps++
		case Clear:
			p.clears++
			if p.sweeps == 0 && p.kills == 0 && p.stop.timing.Stragglers > 0 {
				return errors.New("stragglers are killed before they are told")
			}
		case Finish:
			p.finishes++
			if p.alive || p.hook {
				return errors.New("the end, and something still runs")
			}
			if e.Kind != NobodyLeft && !e.Last && p.clears == 0 && p.stop.timing.PostStop == 0 && e.Kind != StopRequested {
				return errors.New("the end, with stragglers that were not killed")
			}
		case WriteAhead:
			if p.asked.IsZero() && p.alive && p.stop.now.Cause == "" {
				return errors.New("written ahead without a stop")
			}
		}
	}
	return nil
}

// holds are the invariants between two events.
func (p *played) holds() error {
	st, tm := &p.stop, &p.stop.timing
	if p.asked.IsZero() && st.now.Cause != "" { // usher itself
		p.asked = st.now.RequestedAt
	}
	asked := !p.asked.IsZero()
	due := func(d time.Duration) bool { return !p.now.Before(p.asked.Add(d)) }
	hold := tm.Hold + tm.Drain
	if !p.ready {
		hold = 0
	}
	hold += tm.PreStop
	switch {
	case (p.finishes > 0) != (st.now.Phase == Ended) || p.finishes > 1 || p.sweeps > 1 || p.clears > 1:
		return fmt.Errorf("%v, with %d sweeps, %d clears, %d finishes", st.now.Phase, p.sweeps, p.clears, p.finishes)
	case st.now.Phase == Ended && !st.now.Deadline.IsZero():
		return fmt.Errorf("a timer is left: %v", st.now.Deadline)
	case p.hook != st.hooked:
		return fmt.Errorf("%v: a hook at work is %v", st.now.Phase, p.hook)
	case st.now.Phase == Ended:
		return nil
	case p.alive != st.now.Phase.Alive():
		return fmt.Errorf("%v, the app lives: %v", st.now.Phase, p.alive)
	case p.launches > 0 && !p.alive && st.now.Deadline.IsZero():
		return fmt.Errorf("%v without a deadline, the app is gone", st.now.Phase)
	case p.sweeps > 0 && p.clears == 0 && st.now.Phase == Sweeping && !p.now.Before(st.now.ExitedAt.Add(tm.Stragglers)):
		return errors.New("stragglers have more time than they were given")
	case st.now.Phase == Sweeping && asked && tm.Limit > 0 && due(tm.Limit):
		return errors.New("stragglers have more time than the budget")
	case !p.alive && asked && !p.retry && tm.End > 0 && !p.now.Before(latest(latest(st.now.ExitedAt, p.forGood), p.asked.Add(tm.End)).Add(2*clearTime)):
		return errors.New("the budget is spent")
	case tm.RestartMax > 0 && p.launches > 1+tm.RestartMax && p.now.Sub(time.Unix(0, 0)) < calmTime:
		return fmt.Errorf("started %d times", p.launches)
	case tm.Restart == RestartNo && p.launches > 1:
		return errors.New("started again")
	case !p.alive:
		return nil
	case !asked && st.now.Phase != Running:
		return fmt.Errorf("%v without a stop signal", st.now.Phase)
	case asked && p.told.IsZero() && due(hold):
		return errors.New("not told though the hold is over")
	case asked && tm.Limit > 0 && p.kills == 0 && due(tm.Limit):
		return errors.New("not killed though the budget is spent")
	case p.kills > 1 || p.kills > 0 && tm.Limit == 0:
		return fmt.Errorf("%d kills, at %v", p.kills, st.now.KilledAt)
	}
	return nil
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
