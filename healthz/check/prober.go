package check

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"
)

// Prober runs one check by its period and keeps the outcome.
type Prober struct {
	name   string
	params Params
	ask    func(context.Context) error

	status atomic.Pointer[Status]
}

// NewProber returns a prober of valid parameters. It does nothing until Run.
func NewProber(name string, c *Check, p Params) *Prober {
	return newProber(name, p, c.Run)
}

func newProber(name string, p Params, ask func(context.Context) error) *Prober {
	prober := &Prober{name: name, params: p, ask: ask}
	prober.status.Store(&Status{Failure: notYet})
	return prober
}

// Name returns the check's name as endpoints show it: "ready-1".
func (p *Prober) Name() string { return p.name }

// Status returns the present state; it never blocks. Before enough successes it is not OK and says why. When Run has
// returned, the last one stays.
func (p *Prober) Status() Status { return *p.status.Load() }

// Run probes until the context ends: first after the initial delay, then every period, counted from start to start. There
// is never more than one probe at a time: moments that pass during a slow one are left out, and the rhythm is kept. To be
// called once.
func (p *Prober) Run(ctx context.Context) {
	t := newThreshold(p.params)
	due := time.Now().Add(p.params.InitialDelay)
	timer := time.NewTimer(p.params.InitialDelay)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		err := p.probe(ctx)
		if ctx.Err() != nil {
			return // what was cut short says nothing about the app
		}
		status := t.observe(err)
		p.status.Store(&status)
		due = next(due, p.params.Period, time.Now())
		timer.Reset(time.Until(due))
	}
}

// next returns the first moment of the rhythm due, due+period, … that is still to come, but not due itself.
func next(due time.Time, period time.Duration, now time.Time) time.Time {
	missed := max(now.Sub(due)/period, 0)
	return due.Add((missed + 1) * period)
}

// probe runs the check within its timeout, which every check heeds (see Check.Run). A panic is a failure of this check, not
// the end of PID 1.
func (p *Prober) probe(ctx context.Context) (err error) {
	ctx, cancel := context.WithTimeout(ctx, p.params.Timeout)
	defer cancel()
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("panic in check: %v", v)
		}
	}()
	return p.ask(ctx)
}
