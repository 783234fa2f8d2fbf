package supervisor

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// The budget of a stop: all of it has to be over when the grace period is.

// wordTime is what is kept of a grace period for the time after SIGKILL: the kernel tears the app down, usher writes why. Half a
// second is plenty; of a grace period under two seconds it is a quarter.
func wordTime(grace time.Duration) time.Duration { return min(500*time.Millisecond, grace/4) }

// defaultHookTime is what a hook of the stop may take where nothing is said.
const defaultHookTime = 30 * time.Second

func (c *Config) timing() timing {
	t := timing{
		hold:       c.TermDelay,
		drain:      c.DrainTimeout,
		schedule:   c.StopSchedule,
		stragglers: c.StragglerGrace,
		restart:    c.Restart,
		restartMax: c.RestartMax,
	}
	if len(c.StopSignals) > 0 {
		t.stopSignal = c.StopSignals[0]
	}
	before, after := noLimit, defaultHookTime // the app's start, and the stop
	if c.GracePeriod > 0 {
		after = min(after, c.GracePeriod/4)
	}
	if c.HookTimeout > 0 {
		before, after = c.HookTimeout, c.HookTimeout
	}
	if len(c.WaitFor) > 0 {
		wait := noLimit
		if c.WaitTimeout > 0 {
			wait = c.WaitTimeout
		}
		t.prepare = append(t.prepare, wait)
	}
	for range c.PreStart {
		t.prepare = append(t.prepare, before)
	}
	if c.PostStart != nil {
		t.postStart = before
	}
	if c.PreStop != nil {
		t.preStop = after
	}
	if c.PostStop != nil {
		t.postStop = after
	}
	if c.GracePeriod > 0 {
		t.end = c.GracePeriod - wordTime(c.GracePeriod)
		t.limit = max(1, t.end-t.postStop)
		t.tail = c.GracePeriod - wordTime(c.GracePeriod)/2
	}
	return t
}

// hooks is whether there is any, or something to wait for.
func (c *Config) hooks() bool {
	return len(c.WaitFor) > 0 || len(c.PreStart) > 0 || c.PostStart != nil || c.PreStop != nil || c.PostStop != nil
}

// part is a part of the budget.
type part struct {
	flag  string
	takes time.Duration // at most
}

// parts are what a stop needs, in order.
func (c *Config) parts() []part {
	t := c.timing()
	parts := []part{{"--term-delay", t.hold}, {"--drain-timeout", t.drain}, {"--pre-stop", t.preStop}, {"--stop-schedule", t.schedule.takes()}}
	if len(t.schedule.Items) > 0 {
		parts = append(parts, part{"--straggler-grace", t.stragglers})
	}
	return append(parts, part{"--post-stop", t.postStop}, part{"writing the reason", wordTime(c.GracePeriod)})
}

// fits says by its numbers why a stop does not fit into the grace period; nil if it does.
func (c *Config) fits() error {
	if c.GracePeriod <= 0 {
		return nil
	}
	var sum time.Duration
	var list []string
	for _, p := range c.parts() {
		if p.takes > 0 {
			sum += p.takes
			list = append(list, fmt.Sprintf("%s %v", p.flag, p.takes))
		}
	}
	scheduled := c.StopSchedule.takes() > 0
	if sum >= 0 && (sum < c.GracePeriod || scheduled && sum == c.GracePeriod) {
		return nil
	}
	need := fmt.Sprintf("--grace-period %v is too short: %s: %v", c.GracePeriod, strings.Join(list, " + "), sum)
	if !scheduled {
		need += ", and the app needs time to stop"
	}
	if c.HookTimeout == 0 && (c.PreStop != nil || c.PostStop != nil) {
		need += "; --hook-timeout is what a hook may take"
	}
	return errors.New(need)
}
