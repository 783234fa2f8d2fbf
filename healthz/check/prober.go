package check

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"usher/internal/contexts"
)

// Role is what a check is for.
type Role uint8

const (
	Startup Role = iota // the app has started; asked until it holds for the first time, and the others wait for it
	Live                // the app is not to be restarted
	Ready               // the app is to get traffic
	Roles
)

func (r Role) String() string { return [Roles]string{"startup", "live", "ready"}[r] }

// Prober runs one check by its period and keeps the outcome: however often that is asked for, the app is not.
type Prober struct {
	name   string
	role   Role
	params Params
	ask    func(context.Context) error

	status atomic.Pointer[Status]
	again  chan struct{}

	held, failed, spent atomic.Int64 // results, and nanoseconds of them
}

// Counts are how often the check has held and failed so far, and how long all of that has taken.
func (p *Prober) Counts() (held, failed int64, spent time.Duration) {
	return p.held.Load(), p.failed.Load(), time.Duration(p.spent.Load())
}

// ErrPending from a Prober's ask says nothing about the app, but that it has asked for more time.
var ErrPending = errors.New("pending")

// NewProber returns a prober of valid parameters, the nth of its role, counted from 1. ask is a Check's Run, or the like; it has to
// heed the context's end. It does nothing until Run.
func NewProber(role Role, n int, ask func(context.Context) error, p Params) *Prober {
	prober := &Prober{name: fmt.Sprintf("%v-%d", role, n), role: role, params: p, ask: ask, again: make(chan struct{}, 1)}
	status := newThreshold(role, p).status
	prober.status.Store(&status)
	return prober
}

// Name returns the check's name as endpoints show it: "ready-1".
func (p *Prober) Name() string { return p.name }

// Status returns the present state; it never blocks. Before enough successes it is not OK and says why. When Run has
// returned, the last one stays.
func (p *Prober) Status() Status { return *p.status.Load() }

// Again makes Run probe at once, and leaves its rhythm as it is. It never blocks.
func (p *Prober) Again() {
	select {
	case p.again <- struct{}{}:
	default:
	}
}

// Run probes until the context ends: first when the initial delay since the app's start has passed, then every period, counted from
// start to start. There is never more than one probe at a time: moments that pass during a slow one are left out, and the rhythm is
// kept. A startup check's Run ends with its success. changed, if not nil, is called when the state has changed. To be called once.
func (p *Prober) Run(ctx context.Context, started time.Time, changed func(Status)) {
	t := newThreshold(p.role, p.params)
	due := started.Add(p.params.InitialDelay)
	if now := time.Now(); due.Before(now) { // startup has taken longer
		due = now
	}
	timer := time.NewTimer(time.Until(due))
	defer timer.Stop()
	for first := true; ; {
		inTurn := true
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-p.again:
			inTurn = false
		}
		asked := time.Now()
		err := p.probe(ctx)
		if ctx.Err() != nil {
			return // what was cut short says nothing about the app
		}
		now := time.Now()
		p.spent.Add(int64(now.Sub(asked)))
		if err == nil {
			p.held.Add(1)
		} else {
			p.failed.Add(1)
		}
		before, status := t.status, t.status
		if err != ErrPending {
			status = t.observe(err, now)
		}
		p.status.Store(&status)
		if changed != nil && (status.OK != before.OK || status.Failed != before.Failed) {
			changed(status)
		}
		if p.role == Startup && status.OK {
			return
		}
		if !inTurn {
			continue
		}
		if first && p.role != Startup {
			due = due.Add(-jitter(now, p.params.Period))
		}
		first = false
		due = next(due, p.params.Period, now)
		timer.Reset(time.Until(due))
	}
}

// jitter is how much earlier than its period the second probe comes: up to half of it, by the nanoseconds of the end of the first. The first comes
// at once, so that a start takes no longer than it has to; from then on containers that were started together, and the checks of one, do
// not ask in step. (Kubelet delays the first, where itself has just been started: pkg/kubelet/prober/worker.go.) A startup check keeps to
// its period: how long it may take is that, times the failure threshold.
func jitter(now time.Time, period time.Duration) time.Duration {
	return time.Duration(uint64(now.UnixNano()) * 0x9e3779b97f4a7c15 >> 1 % uint64(period/2))
}

// next returns the first moment of the rhythm due, due+period, … that is still to come, but not due itself.
func next(due time.Time, period time.Duration, now time.Time) time.Time {
	missed := max(now.Sub(due)/period, 0)
	return due.Add((missed + 1) * period)
}

// probe runs the check within its timeout, which every check heeds (see Check.Run). A panic is a failure of this check, not
// the end of PID 1.
func (p *Prober) probe(ctx context.Context) (err error) {
	ctx, cancel := contexts.WithTimeout(ctx, p.params.Timeout)
	defer cancel()
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("panic in check: %v", v)
		}
	}()
	return p.ask(ctx)
}
