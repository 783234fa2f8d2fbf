package lifecycle

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// part is a part of the budget of a stop.
type part struct {
	flag  string
	takes time.Duration // the longest that the part may take
}

// parts returns what a stop needs time for, in order.
func (o *Options) parts() []part {
	t := o.Timing()
	parts := []part{
		{"--term-delay", t.Hold},
		{"--drain-timeout", t.Drain},
		{"--pre-stop", t.PreStop},
		{"--stop-schedule", t.Schedule.takes()},
	}
	if len(t.Schedule.Items) > 0 {
		parts = append(parts, part{"--straggler-grace", t.Stragglers})
	}
	return append(parts, part{"--post-stop", t.PostStop}, part{"writing the reason", WordTime(o.Grace)})
}

// Fits returns an error, with the numbers, if a stop does not fit into the
// grace period. It returns nil if the stop fits, or if there is no grace
// period.
func (o *Options) Fits() error {
	if o.Grace <= 0 {
		return nil
	}
	var sum time.Duration
	var list []string
	for _, p := range o.parts() {
		if p.takes > 0 {
			sum += p.takes
			list = append(list, fmt.Sprintf("%s %v", p.flag, p.takes))
		}
	}
	scheduled := o.Schedule.takes() > 0
	if sum >= 0 && (sum < o.Grace || scheduled && sum == o.Grace) {
		return nil
	}
	need := fmt.Sprintf("--grace-period %v is too short: %s: %v", o.Grace, strings.Join(list, " + "), sum)
	if !scheduled {
		need += ", and the app needs time to stop"
	}
	if o.HookTimeout == 0 && (o.PreStop != "" || o.PostStop != "") {
		need += "; --hook-timeout is what a hook may take"
	}
	return errors.New(need)
}
