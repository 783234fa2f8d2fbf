package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"
)

// Clients on slow lines: at the end of a short hold each of them has half of a
// page still to read.
const (
	slowHold  = 500 * time.Millisecond // usher's --term-delay
	slowDrain = 10 * time.Second       // usher's --drain-timeout
	slowLetGo = 200 * time.Millisecond // what the load balancer needs
	slowRate  = 6 << 20                // bytes that a client reads in a second
)

// slow is the third round: requests that take longer than the hold, without
// --drain-timeout and with it.
func slow(ctx context.Context, s *screen, usher string, kind *serverKind, dir string) (
	cut, finished result, err error) {
	var cs []*candidate
	for i, flags := range [][]string{nil, {"--drain-timeout", slowDrain.String()}} {
		c, err := newCandidate(kind, filepath.Join(dir, fmt.Sprintf("slow%d", i)))
		if err != nil {
			return cut, finished, err
		}
		c.pages = []string{"/slow", "/slow"}
		if _, err := c.behind(usher, append([]string{"--term-delay", slowHold.String()}, flags...)...); err != nil {
			return cut, finished, err
		}
		cs = append(cs, c)
	}
	cs[0].label = fmt.Sprintf("usher --term-delay %s -- %s", slowHold, kind.name)
	cs[1].label = fmt.Sprintf("the same with --drain-timeout %s", slowDrain)

	s.title("Slow requests, which take longer than the hold")
	results, err := stopAll(ctx, cs, func(c *candidate) *balancer {
		b := c.balancer(slowLetGo)
		b.rate = slowRate
		return b
	})
	if err != nil {
		return cut, finished, err
	}
	s.table(results, fmt.Sprintf("Each request takes %ds.", slowSize/slowRate))
	return results[0], results[1], nil
}

func slowVerdict(cut, finished result) error {
	var errs []error
	if cut.after.Cut == 0 {
		errs = append(errs, fmt.Errorf("no slow request was cut by %q: the demo proves nothing", cut.label))
	}
	if n := finished.after.Failed(); n > 0 || finished.after.OK == 0 {
		errs = append(errs, fmt.Errorf("%d slow requests failed with --drain-timeout (%v), and %d did not",
			n, finished.after, finished.after.OK))
	}
	if n := cut.before.Failed() + finished.before.Failed(); n > 0 {
		errs = append(errs, fmt.Errorf("%d slow requests failed before the stop", n))
	}
	return errors.Join(errs...)
}
