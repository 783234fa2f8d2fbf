package supervisor

import (
	"errors"
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
		if p.String() == "" {
			t.Errorf("phase %d has no name", p)
		}
	}
}

// input is one thing that happens in the exhaustive test; time passes with each.
type input struct {
	name  string
	after time.Duration
	event event
	can   func(*played) bool // happen now; nil is always
	// refused: usher was not allowed to kill the app.
	refused bool
}

func hooked(p *played) bool { return p.hook }
func alive(p *played) bool  { return p.alive }

var (
	term   = &signals.Event{Signal: unix.SIGTERM}
	hup    = &signals.Event{Signal: unix.SIGHUP}
	inputs = []input{
		{name: "TERM", after: time.Second, event: event{kind: stopAsked, signal: term}},
		{name: "TERM, not ready", after: time.Second, event: event{kind: stopAsked, signal: term, noHold: "the app was not ready"}},
		{name: "unhealthy", after: time.Second, event: event{kind: stopAsked, signal: term, noHold: "unhealthy", cause: "unhealthy", retry: true}, can: alive},
		{name: "HUP", after: time.Second, event: event{kind: signalled, signal: hup}},
		{name: "time", event: event{kind: timeUp}, can: func(p *played) bool { return !p.stop.deadline.IsZero() }}, // whenever the deadline is
		{name: "a long time", after: 40 * time.Second, event: event{kind: signalled, signal: hup}},
		{name: "app fails", after: time.Second, event: event{kind: appEnded, failed: true}, can: alive},
		{name: "app ends last", after: time.Second, event: event{kind: appEnded, last: true}, can: alive},
		{name: "nobody left", after: time.Second, event: event{kind: nobodyLeft}, can: func(p *played) bool { return !p.alive }},
		{name: "hook succeeds", after: time.Second, event: event{kind: hookEnded}, can: hooked},
		{name: "hook fails", after: time.Second, event: event{kind: hookEnded, failed: true}, can: hooked},
		{name: "quiet", after: time.Second, event: event{kind: quiet}, can: alive},
		{name: "drained", event: event{kind: drained}, can: alive},
		{name: "SIGKILL refused", event: event{kind: timeUp}, refused: true, can: func(p *played) bool { return p.alive && p.stop.phase == killing }},
	}
)

const s = time.Second

var timings = map[string]timing{
	"plain":    {stragglers: 2 * s},
	"hold":     {hold: 10 * s, drain: 3 * s},
	"grace":    {limit: 30 * s, end: 30 * s, stragglers: 50 * s},
	"all":      {hold: 5 * s, drain: 3 * s, preStop: 4 * s, postStart: noLimit, postStop: 5 * s, limit: 25 * s, end: 30 * s, stragglers: 25 * s, prepare: []time.Duration{60 * s}},
	"prepare":  {prepare: []time.Duration{5 * s, noLimit}, postStart: 3 * s, hold: 5 * s, stragglers: s, restart: RestartAlways},
	"schedule": {schedule: schedule("TERM/5s/QUIT/INT/3s/KILL"), preStop: 2 * s, stragglers: s, limit: 20 * s, end: 20 * s},
	"for ever": {schedule: schedule("HUP/5s/forever/TERM/2s/QUIT/0"), hold: 2 * s, limit: 20 * s, end: 20 * s},
	"gives up": {schedule: schedule("INT/5s/TERM/5s")},
	"always":   {restart: RestartAlways, restartMax: 2, stragglers: s, postStop: 2 * s},
	"failures": {restart: RestartOnFailure, postStart: 2 * s, hold: 3 * s, limit: 10 * s, end: 10 * s, stragglers: s},
}

func schedule(text string) Schedule {
	parsed, err := ParseSchedule(text)
	if err != nil {
		panic(err)
	}
	return parsed
}

// Every order of up to six things that can happen, for every kind of budget, against what has to hold whatever happens.
func TestEveryOrder(t *testing.T) {
	for name, tm := range timings {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tm.stopSignal = unix.SIGTERM
			n := 0
			var walk func(p played, trace []string)
			walk = func(p played, trace []string) {
				for i := range inputs {
					in := &inputs[i]
					if in.can != nil && !in.can(&p) {
						continue
					}
					next := p
					n++
					err := next.input(in)
					if err != nil {
						t.Fatalf("%s, %s: %v", strings.Join(trace, ", "), in.name, err)
					}
					if len(trace) < 5+len(tm.prepare) && p.finishes == 0 { // one more event after the end is enough
						walk(next, append(trace[:len(trace):len(trace)], in.name))
					}
				}
			}
			first := played{now: time.Unix(0, 0), stop: stop{timing: tm}}
			first.stop.open(first.now)
			if err := first.look(nil, first.stop.decided()); err != nil {
				t.Fatal(err)
			}
			walk(first, nil)
			t.Logf("%d orders", n)
		})
	}
}

// played is a trace in progress, and what has been seen of it, kept apart from the table.
type played struct {
	stop                          stop
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
		p.stop.unkillable(p.now)
		p.alive = false // as far as anything can be done about it
		e := in.event
		e.at = p.now
		return p.happens(e)
	}
	if in.event.kind == timeUp {
		next = latest(p.now, p.stop.deadline)
	}
	// The loop sleeps until something happens or a deadline comes, whichever is first.
	turns := 0
	for d := p.stop.deadline; !d.IsZero() && !d.After(next); d = p.stop.deadline {
		if err := p.happens(event{kind: timeUp, at: latest(p.now, d)}); err != nil {
			return err
		}
		if turns++; turns > 60 {
			return errors.New("the deadline has passed and stays")
		}
	}
	e := in.event
	e.at = next
	if !in.possible(p) { // any more
		p.now = next
		return nil
	}
	return p.happens(e)
}

func (in *input) possible(p *played) bool { return in.can == nil || in.can(p) }

// happens takes one step and looks at its actions.
func (p *played) happens(e event) error {
	p.now = e.at
	switch e.kind {
	case stopAsked:
		if p.retry && e.cause == "" && p.stop.phase == backingOff {
			p.asked, p.told, p.retry = time.Time{}, time.Time{}, false
		}
		if p.asked.IsZero() && p.finishes == 0 {
			p.asked, p.ready, p.retry = e.at, e.noHold == "", e.retry
		}
		if p.retry && !e.retry {
			p.retry, p.forGood = false, e.at
		}
	case appEnded:
		p.alive = false
	case hookEnded:
		p.hook = false
		if p.launches == 0 {
			p.done++
			p.prepFailed = e.failed
		}
	}
	before := p.stop.phase
	actions := p.stop.step(&e)
	if err := p.look(&e, actions); err != nil {
		return err
	}
	if e.kind == signalled && p.stop.phase != before {
		return errors.New("a signal that is no stop signal changed the phase")
	}
	if p.stop.phase.sweeps() && !before.sweeps() && e.last {
		return errors.New("nobody is left, and waited for")
	}
	return p.holds()
}

func (p *played) look(e *event, actions []action) error {
	for i, a := range actions {
		switch {
		case p.finishes > 0:
			return fmt.Errorf("action %d after the end", a.verb)
		case (a.verb == forward || a.verb == send || a.verb == kill) && !p.alive:
			return errors.New("an app is signalled that is not there")
		case (a.verb == forward || a.verb == send) && p.kills > 0:
			return errors.New("a signal after SIGKILL")
		case (a.verb == sweep || a.verb == clear || a.verb == launch) && p.alive:
			return fmt.Errorf("action %d, and the app lives", a.verb)
		case a.verb == save && (p.launches > 0 || a.signal == nil):
			return errors.New("a signal is kept")
		case a.verb == launch && (i < len(actions)-1 || !p.asked.IsZero() && !p.retry || p.prepFailed || p.done < len(p.stop.timing.prepare)):
			return errors.New("the app should not be started")
		}
		switch a.verb {
		case forward, send:
			if a.verb == send || a.signal.Signal != unix.SIGHUP {
				p.told = p.now
			}
		case kill:
			if p.told.IsZero() {
				return errors.New("SIGKILL before the app was told")
			}
			p.kills++
		case launch:
			p.launches++
			p.alive = true
			p.kills, p.sweeps, p.clears = 0, 0, 0
			if p.retry { // this stop is over
				p.asked, p.told, p.retry = time.Time{}, time.Time{}, false
			}
			return p.happens(event{kind: appStarted, at: p.now})
		case prepare, postStart, preStop, postStop:
			if p.hook {
				return errors.New("two hooks at a time")
			}
			p.hook = true
			if a.verb == postStop {
				if p.postStops++; p.alive || p.postStops > 1 {
					return errors.New("post-stop with an app, or twice")
				}
			}
		case expire, abandon, disown:
			if !p.hook || a.verb == disown && p.launches > 0 {
				return fmt.Errorf("there is no hook to end by %d", a.verb)
			}
			p.hook = false
			p.prepFailed = p.prepFailed || p.launches == 0
		case sweep:
			p.sweeps++
		case clear:
			p.clears++
			if p.sweeps == 0 && p.kills == 0 && p.stop.timing.stragglers > 0 {
				return errors.New("stragglers are killed before they are told")
			}
		case finish:
			p.finishes++
			if p.alive || p.hook {
				return errors.New("the end, and something still runs")
			}
			if e.kind != nobodyLeft && !e.last && p.clears == 0 && p.stop.timing.postStop == 0 && e.kind != stopAsked {
				return errors.New("the end, with stragglers that were not killed")
			}
		case writeWord:
			if p.asked.IsZero() && p.alive && p.stop.cause == "" {
				return errors.New("written ahead without a stop")
			}
		}
	}
	return nil
}

// holds are the invariants between two events.
func (p *played) holds() error {
	st, tm := &p.stop, &p.stop.timing
	if p.asked.IsZero() && st.cause != "" { // usher itself
		p.asked = st.began
	}
	asked := !p.asked.IsZero()
	due := func(d time.Duration) bool { return !p.now.Before(p.asked.Add(d)) }
	hold := tm.hold + tm.drain
	if !p.ready {
		hold = 0
	}
	hold += tm.preStop
	switch {
	case (p.finishes > 0) != (st.phase == ended) || p.finishes > 1 || p.sweeps > 1 || p.clears > 1:
		return fmt.Errorf("%v, with %d sweeps, %d clears, %d finishes", st.phase, p.sweeps, p.clears, p.finishes)
	case st.phase == ended && !st.deadline.IsZero():
		return fmt.Errorf("a timer is left: %v", st.deadline)
	case p.hook != st.hooked:
		return fmt.Errorf("%v: a hook at work is %v", st.phase, p.hook)
	case st.phase == ended:
		return nil
	case p.alive != st.phase.alive():
		return fmt.Errorf("%v, the app lives: %v", st.phase, p.alive)
	case p.launches > 0 && !p.alive && st.deadline.IsZero():
		return fmt.Errorf("%v without a deadline, the app is gone", st.phase)
	case p.sweeps > 0 && p.clears == 0 && st.phase == sweeping && !p.now.Before(st.over.Add(tm.stragglers)):
		return errors.New("stragglers have more time than they were given")
	case st.phase == sweeping && asked && tm.limit > 0 && due(tm.limit):
		return errors.New("stragglers have more time than the budget")
	case !p.alive && asked && !p.retry && tm.end > 0 && !p.now.Before(latest(latest(st.over, p.forGood), p.asked.Add(tm.end)).Add(2*clearTime)):
		return errors.New("the budget is spent")
	case tm.restartMax > 0 && p.launches > 1+tm.restartMax && p.now.Sub(time.Unix(0, 0)) < calmTime:
		return fmt.Errorf("started %d times", p.launches)
	case tm.restart == RestartNo && p.launches > 1:
		return errors.New("started again")
	case !p.alive:
		return nil
	case !asked && st.phase != running:
		return fmt.Errorf("%v without a stop signal", st.phase)
	case asked && p.told.IsZero() && due(hold):
		return errors.New("not told though the hold is over")
	case asked && tm.limit > 0 && p.kills == 0 && due(tm.limit):
		return errors.New("not killed though the budget is spent")
	case p.kills > 1 || p.kills > 0 && tm.limit == 0:
		return fmt.Errorf("%d kills, at %v", p.kills, st.killed)
	}
	return nil
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
