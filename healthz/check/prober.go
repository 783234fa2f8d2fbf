package check

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"usher/internal/contexts"
)

// Role is the purpose of a check.
type Role uint8

const (
	Startup Role = iota // tells whether the app has started; the others wait for its first success
	Live                // tells whether the app can stay as it is, or has to be restarted
	Ready               // tells whether the app can get traffic
	Roles               // number of roles
)

func (r Role) String() string { return [Roles]string{"startup", "live", "ready"}[r] }

// Prober runs one check periodically and keeps the result. Clients that ask for
// the result do not reach the app.
type Prober struct {
	name   string
	role   Role
	params Params
	ask    func(context.Context) error

	status atomic.Pointer[Status]
	again  chan struct{}

	held, failed, spent atomic.Int64 // number of successes and of failures; nanoseconds spent in both
}

// Counts returns how often the check has held and failed so far, and how long
// all of these probes have taken.
func (p *Prober) Counts() (held, failed int64, spent time.Duration) {
	return p.held.Load(), p.failed.Load(), time.Duration(p.spent.Load())
}

// ErrPending is the result of a check that says nothing yet: the app has asked
// for more time.
var ErrPending = errors.New("pending")

// NewProber returns a prober with valid parameters, the nth of its role,
// counted from 1. ask is the Run of a Check, or a function like it, and must
// return when the context ends. The prober does nothing until Run.
func NewProber(role Role, n int, ask func(context.Context) error, p Params) *Prober {
	name := fmt.Sprintf("%v-%d", role, n)
	prober := &Prober{name: name, role: role, params: p, ask: ask, again: make(chan struct{}, 1)}
	status := newThreshold(role, p).status
	prober.status.Store(&status)
	return prober
}

// Name returns the check's name in endpoints: "ready-1".
func (p *Prober) Name() string { return p.name }

// Status returns the present state. It never blocks. Before enough successes,
// the status is not OK and says why. After the end of Run, the last status
// stays.
func (p *Prober) Status() Status { return *p.status.Load() }

// Again makes Run probe at once, and does not change its rhythm. It never
// blocks.
func (p *Prober) Again() {
	select {
	case p.again <- struct{}{}:
	default:
	}
}

// Run probes until the context ends. The first probe comes when the initial
// delay since the app's start has passed, and then one every period, from start
// to start. There is never more than one probe at a time: Run leaves out the
// probes that fall into a slow one, and keeps the rhythm. With a startup check,
// Run ends at the first success.
//
// changed may be nil. Run calls it when the state has changed. Call Run once.
func (p *Prober) Run(ctx context.Context, started time.Time, changed func(Status)) {
	t := newThreshold(p.role, p.params)
	due := started.Add(p.params.InitialDelay)
	if now := time.Now(); due.Before(now) { // the startup check has taken longer
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
			return // a probe that was cut short says nothing about the app
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

// jitter returns how much earlier than its period the second probe comes: up to
// half a period, chosen by the nanoseconds of the end of the first probe. From
// then on, containers that were started together do not probe in step, nor do
// the checks of one container. Kubelet delays the first probe instead, after
// its own start (pkg/kubelet/prober/worker.go); here it comes at once, so that
// a start takes no longer than necessary.
//
// A startup check keeps to its period, because the period times the failure
// threshold is the time that the app may take.
func jitter(now time.Time, period time.Duration) time.Duration {
	return time.Duration(uint64(now.UnixNano()) * 0x9e3779b97f4a7c15 >> 1 % uint64(period/2))
}

// next returns the first moment of the rhythm due+period, due+2*period, … that
// is after now.
func next(due time.Time, period time.Duration, now time.Time) time.Time {
	missed := max(now.Sub(due)/period, 0)
	return due.Add((missed + 1) * period)
}

// probe runs the check within its timeout, at which every check returns (see
// Check.Run). A panic counts as a failure of this check, and does not end PID
// 1.
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
