package config

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/hashicorp/go-multierror"
	"golang.org/x/sys/unix"

	"usher/healthz"
	"usher/healthz/check"
	"usher/signals"
)

// Validate returns all mistakes, as a *multierror.Error, or nil.
func (c *Config) Validate() error {
	var errs *multierror.Error
	if len(c.Command) == 0 && !c.Pause {
		errs = multierror.Append(errs, errors.New("no command given"))
	}
	for _, d := range []struct {
		flag  string
		takes time.Duration
	}{{"--term-delay", c.TermDelay}, {"--drain-timeout", c.DrainTimeout}, {"--grace-period", c.GracePeriod},
		{"--straggler-grace", c.StragglerGrace}, {"--wait-timeout", c.WaitTimeout}, {"--hook-timeout", c.HookTimeout}} {
		if d.takes < 0 {
			errs = multierror.Append(errs, fmt.Errorf("%s %v: must not be negative", d.flag, d.takes))
		}
	}
	if c.QuietPeriod < 0 || c.QuietPeriod > max(c.TermDelay, 0) {
		errs = multierror.Append(errs, fmt.Errorf("--quiet-period %v: must be from 0 to --term-delay, which is %v",
			c.QuietPeriod, c.TermDelay))
	}
	if c.QuietNewOnly && c.QuietPeriod == 0 {
		errs = multierror.Append(errs, errors.New("--quiet-mode: there is no --quiet-period"))
	}
	if len(c.QuietIgnore) > 0 && !c.Watches() {
		err := errors.New("--quiet-ignore: there is neither --quiet-period nor --drain-timeout")
		errs = multierror.Append(errs, err)
	}
	if c.RestartMax < 0 {
		errs = multierror.Append(errs, fmt.Errorf("--restart-max %d: must not be negative", c.RestartMax))
	}
	for _, sig := range c.StopSignals {
		if sig == unix.SIGKILL || sig == unix.SIGSTOP || sig == unix.SIGCHLD {
			errs = multierror.Append(errs, fmt.Errorf("--stop-signals %s: usher never sees it", signals.Name(sig)))
		}
	}
	life := c.Lifecycle()
	if err := life.Fits(); err != nil {
		errs = multierror.Append(errs, err)
	}
	if c.TerminationTail < 0 {
		errs = multierror.Append(errs, fmt.Errorf("--termination-tail %d: must not be negative", c.TerminationTail))
	}
	for _, addr := range c.HealthAddrs {
		if _, err := healthz.ParseAddr(addr); err != nil {
			errs = multierror.Append(errs, fmt.Errorf("--health-addr %q: %w", addr, err))
		}
	}
	if c.Watchdog < 0 {
		errs = multierror.Append(errs, fmt.Errorf("--watchdog %v: must not be negative", c.Watchdog))
	}
	if c.OnUnhealthy == UnhealthyStop && !c.canBeUnhealthy() {
		errs = multierror.Append(errs,
			errors.New("--on-unhealthy stop: there is no --live-check, --startup-check or --watchdog"))
	}
	for role := range check.Roles {
		errs = multierror.Append(errs, mistakes(c.Checks[role].Params.Validate(role))...)
	}
	return errs.ErrorOrNil()
}

// canBeUnhealthy reports whether anything can find the app unhealthy. An app with
// a NOTIFY_SOCKET may do so itself (WATCHDOG=trigger).
func (c *Config) canBeUnhealthy() bool {
	return c.Watchdog != 0 || len(c.Checks[check.Live].Checks)+len(c.Checks[check.Startup].Checks) > 0 ||
		slices.ContainsFunc(c.Checks[check.Ready].Checks, (*check.Check).IsNotify)
}

// mistakes returns the single errors in err, which may be nil.
func mistakes(err error) []error {
	switch err := err.(type) {
	case nil:
		return nil
	case *multierror.Error:
		return err.Errors
	}
	return []error{err}
}
