package supervisor

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"usher/signals"
)

func TestTableIsComplete(t *testing.T) {
	for p := range phases {
		for h := range happenings {
			if table[p][h] == nil {
				t.Errorf("%v has no answer to happening %d", p, h)
			}
		}
	}
}

// input is one thing that happens in the exhaustive test; time passes with each.
type input struct {
	name  string
	after time.Duration
	kind  happening
	sig   signals.Signal
	not   string // ready
	last  bool
}

var inputs = []input{
	{name: "TERM", after: time.Second, kind: stopAsked, sig: unix.SIGTERM},
	{name: "TERM, not ready", after: time.Second, kind: stopAsked, sig: unix.SIGTERM, not: "the app was not ready"},
	{name: "HUP", after: time.Second, kind: signalled, sig: unix.SIGHUP},
	{name: "time", kind: timeUp}, // whenever the deadline is
	{name: "a long time", after: 40 * time.Second, kind: signalled, sig: unix.SIGHUP},
	{name: "app ends", after: time.Second, kind: appEnded},
	{name: "app ends last", after: time.Second, kind: appEnded, last: true},
	{name: "nobody left", after: time.Second, kind: nobodyLeft},
}

// Every order of up to six things that can happen, for every kind of budget, against what has to hold whatever happens.
func TestEveryOrder(t *testing.T) {
	for _, tm := range []timing{
		{stragglers: 2 * time.Second},
		{hold: 10 * time.Second},
		{kill: 30 * time.Second, stragglers: 2 * time.Second},
		{hold: 10 * time.Second, kill: 30 * time.Second, stragglers: 25 * time.Second},
	} {
		n := 0
		var walk func(trace []input)
		walk = func(trace []input) {
			if len(trace) > 0 {
				n++
				if err := play(tm, trace); err != nil {
					var names []string
					for _, i := range trace {
						names = append(names, i.name)
					}
					t.Fatalf("%+v: %s: %v", tm, strings.Join(names, ", "), err)
				}
			}
			if len(trace) < 6 {
				for _, i := range inputs {
					walk(append(trace[:len(trace):len(trace)], i))
				}
			}
		}
		walk(nil)
		t.Logf("%+v: %d orders", tm, n)
	}
}

// played is a trace in progress, and what has been seen of it.
type played struct {
	stop                                   stop
	now, asked, told, gone                 time.Time
	hold                                   time.Duration
	tells, kills, sweeps, clears, finishes int
}

// play plays a trace and compares with what the contract says, kept apart from the table.
func play(tm timing, trace []input) error {
	p := played{stop: stop{timing: tm}, now: time.Unix(0, 0)}
	for _, in := range trace {
		next := p.now.Add(in.after)
		if in.kind == timeUp {
			next = latest(p.now, p.stop.deadline)
		}
		// The loop sleeps until something happens or a deadline comes, whichever is first.
		for d := p.stop.deadline; !d.IsZero() && !d.After(next); d = p.stop.deadline {
			if err := p.happens(event{kind: timeUp, at: d}); err != nil {
				return err
			}
			if p.stop.deadline.Equal(d) {
				return fmt.Errorf("the deadline has passed and stays")
			}
			if err := p.holds(); err != nil {
				return err
			}
		}
		if err := p.happens(event{kind: in.kind, at: next, signal: signals.Event{Signal: in.sig}, noHold: in.not, last: in.last}); err != nil {
			return err
		}
		if err := p.holds(); err != nil {
			return err
		}
	}
	return nil
}

// happens takes one step and looks at its actions.
func (p *played) happens(e event) error {
	p.now = e.at
	alive := p.gone.IsZero()
	if e.kind == stopAsked && p.asked.IsZero() && p.finishes == 0 {
		p.asked, p.hold = e.at, p.stop.timing.hold
		if e.noHold != "" {
			p.hold = 0
		}
	}
	if e.kind == appEnded && alive {
		p.gone = e.at
	}
	before := p.stop.phase
	for _, a := range p.stop.step(e) {
		switch {
		case p.finishes > 0:
			return fmt.Errorf("action %d after the end", a.verb)
		case (a.verb == forward || a.verb == kill) && !p.gone.IsZero():
			return fmt.Errorf("the app is signalled after its end")
		case a.verb == forward && p.kills > 0:
			return fmt.Errorf("a signal after SIGKILL")
		case a.verb == forward && a.signal.Signal == unix.SIGTERM:
			p.tells++
			if p.told.IsZero() {
				p.told = e.at
			}
		case a.verb == kill && p.tells == 0:
			return fmt.Errorf("SIGKILL before the app was told")
		case a.verb == kill:
			p.kills++
		case (a.verb == sweep || a.verb == clear) && p.gone.IsZero():
			return fmt.Errorf("stragglers of a living app")
		case a.verb == sweep:
			p.sweeps++
		case a.verb == clear:
			p.clears++
			if p.sweeps == 0 && p.kills == 0 && p.stop.timing.stragglers > 0 {
				return fmt.Errorf("stragglers are killed before they are told")
			}
		case a.verb == finish:
			p.finishes++
			if p.gone.IsZero() {
				return fmt.Errorf("the end, with a living app")
			}
			if e.kind != nobodyLeft && !e.last && p.clears == 0 {
				return fmt.Errorf("the end, with stragglers that were not killed")
			}
		case a.verb == writeWord && p.stop.began.IsZero() && p.gone.IsZero():
			return fmt.Errorf("written ahead without a stop")
		}
	}
	if e.kind == signalled && p.stop.phase != before {
		return fmt.Errorf("a signal that is no stop signal changed the phase")
	}
	return nil
}

// holds are the invariants between two events.
func (p *played) holds() error {
	s, tm := &p.stop, p.stop.timing
	asked, due := !p.asked.IsZero(), func(d time.Duration) bool { return !p.now.Before(p.asked.Add(d)) }
	switch {
	case (p.finishes > 0) != (s.phase == ended) || p.finishes > 1 || p.sweeps > 1 || p.clears > 1:
		return fmt.Errorf("%v, with %d sweeps, %d clears, %d finishes", s.phase, p.sweeps, p.clears, p.finishes)
	case s.phase == ended && !s.deadline.IsZero():
		return fmt.Errorf("a timer is left: %v", s.deadline)
	case s.phase == ended:
		return nil
	case !p.gone.IsZero() && (s.phase.alive() || s.deadline.IsZero()):
		return fmt.Errorf("%v without a deadline, the app is gone", s.phase)
	case !p.gone.IsZero() && p.clears == 0 && !p.now.Before(p.gone.Add(tm.stragglers)):
		return fmt.Errorf("stragglers have more time than they were given")
	case !p.gone.IsZero() && p.clears == 0 && asked && tm.kill > 0 && due(tm.kill):
		return fmt.Errorf("stragglers have more time than the budget")
	case !p.gone.IsZero():
		return nil
	case !asked && s.phase != running:
		return fmt.Errorf("%v without a stop signal", s.phase)
	case asked && p.told.IsZero() && due(p.hold):
		return fmt.Errorf("not told though the hold is over")
	case s.phase == holding && !s.deadline.Equal(p.asked.Add(tm.hold)):
		return fmt.Errorf("hold until %v", s.deadline)
	case asked && tm.kill > 0 && p.kills == 0 && due(tm.kill):
		return fmt.Errorf("not killed though the budget is spent")
	case p.kills > 1 || p.kills > 0 && (tm.kill == 0 || !s.killed.Equal(p.asked.Add(tm.kill))):
		return fmt.Errorf("%d kills, at %v", p.kills, s.killed)
	}
	return nil
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
