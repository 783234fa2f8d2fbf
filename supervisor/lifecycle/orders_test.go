package lifecycle

import (
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"usher/signals"
)

// input is one thing that happens in the exhaustive test; time passes with each.
type input struct {
	name  string
	after time.Duration
	event Event
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
		{name: "TERM", after: time.Second, event: Event{Kind: StopRequested, Signal: term}},
		{name: "TERM, not ready", after: time.Second, event: Event{Kind: StopRequested, Signal: term, NoHold: "the app was not ready"}},
		{name: "unhealthy", after: time.Second, event: Event{Kind: StopRequested, Signal: term, NoHold: "unhealthy", Cause: "unhealthy", Retry: true}, can: alive},
		{name: "HUP", after: time.Second, event: Event{Kind: Signalled, Signal: hup}},
		{name: "time", event: Event{Kind: TimeUp}, can: func(p *played) bool { return !p.stop.now.Deadline.IsZero() }}, // whenever the deadline is
		{name: "a long time", after: 40 * time.Second, event: Event{Kind: Signalled, Signal: hup}},
		{name: "app fails", after: time.Second, event: Event{Kind: AppEnded, Failed: true}, can: alive},
		{name: "app ends last", after: time.Second, event: Event{Kind: AppEnded, Last: true}, can: alive},
		{name: "nobody left", after: time.Second, event: Event{Kind: NobodyLeft}, can: func(p *played) bool { return !p.alive }},
		{name: "hook succeeds", after: time.Second, event: Event{Kind: HookEnded}, can: hooked},
		{name: "hook fails", after: time.Second, event: Event{Kind: HookEnded, Failed: true}, can: hooked},
		{name: "quiet", after: time.Second, event: Event{Kind: TrafficQuiet}, can: alive},
		{name: "drained", event: Event{Kind: TrafficDrained}, can: alive},
		{name: "SIGKILL refused", event: Event{Kind: TimeUp}, refused: true, can: func(p *played) bool { return p.alive && p.stop.now.Phase == Killing }},
	}
)

var timings = map[string]Timing{
	"plain":    {Stragglers: 2 * time.Second},
	"hold":     {Hold: 10 * time.Second, Drain: 3 * time.Second},
	"grace":    {Limit: 30 * time.Second, End: 30 * time.Second, Stragglers: 50 * time.Second},
	"all":      {Hold: 5 * time.Second, Drain: 3 * time.Second, PreStop: 4 * time.Second, PostStart: NoLimit, PostStop: 5 * time.Second, Limit: 25 * time.Second, End: 30 * time.Second, Stragglers: 25 * time.Second, Prepare: []time.Duration{60 * time.Second}},
	"prepare":  {Prepare: []time.Duration{5 * time.Second, NoLimit}, PostStart: 3 * time.Second, Hold: 5 * time.Second, Stragglers: time.Second, Restart: RestartAlways},
	"schedule": {Schedule: schedule("TERM/5s/QUIT/INT/3s/KILL"), PreStop: 2 * time.Second, Stragglers: time.Second, Limit: 20 * time.Second, End: 20 * time.Second},
	"for ever": {Schedule: schedule("HUP/5s/forever/TERM/2s/QUIT/0"), Hold: 2 * time.Second, Limit: 20 * time.Second, End: 20 * time.Second},
	"gives up": {Schedule: schedule("INT/5s/TERM/5s")},
	"always":   {Restart: RestartAlways, RestartMax: 2, Stragglers: time.Second, PostStop: 2 * time.Second},
	"failures": {Restart: RestartOnFailure, PostStart: 2 * time.Second, Hold: 3 * time.Second, Limit: 10 * time.Second, End: 10 * time.Second, Stragglers: time.Second},
}

func schedule(text string) Schedule {
	parsed, err := ParseSchedule(text)
	if err != nil {
		panic(err)
	}
	return parsed
}

// Every order of up to six things that can happen, for every kind of budget,
// against what has to hold whatever happens.
func TestEveryOrder(t *testing.T) {
	for name, tm := range timings {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tm.StopSignal = unix.SIGTERM
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
					if len(trace) < 5+len(tm.Prepare) && p.finishes == 0 { // one more event after the end is enough
						walk(next, append(trace[:len(trace):len(trace)], in.name))
					}
				}
			}
			first := played{now: time.Unix(0, 0), stop: Machine{timing: tm}}
			first.stop.begin(first.now)
			if err := first.look(nil, first.stop.decided()); err != nil {
				t.Fatal(err)
			}
			walk(first, nil)
			t.Logf("%d orders", n)
		})
	}
}
