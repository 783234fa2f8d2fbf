package main

import (
	"fmt"

	"golang.org/x/sys/unix"

	"usher/healthz/check"
	"usher/supervisor/config"
)

// healthFlags are the flags for endpoints and checks.
func healthFlags(o *options) []setting {
	c := &o.config
	settings := []setting{
		{name: "health-addr", value: func(s string) error {
			if s != "" { // an empty variable adds no address
				c.HealthAddrs = append(c.HealthAddrs, s)
			}
			return nil
		}},
		{name: "ready-while-draining", value: &c.ReadyWhileDraining},
		{name: "on-unhealthy", def: "report", value: func(s string) (err error) {
			c.OnUnhealthy, err = config.ParseUnhealthyPolicy(s)
			return err
		}},
		{name: "watchdog", value: &c.Watchdog},
		{name: "check-header", value: func(s string) error {
			header, err := check.ParseHeader(s)
			o.headers = append(o.headers, header)
			return err
		}},
	}
	for role := range check.Roles {
		settings = append(settings, checkFlags(role, c)...)
	}
	return settings
}

// checkFlags are the flags of one role: --live-check, --live-period, and so
// on.
func checkFlags(role check.Role, c *config.Config) []setting {
	of := &c.Checks[role]
	name := role.String()
	of.Params = check.DefaultParams()
	p := &of.Params
	return []setting{
		{name: name + "-check", value: func(s string) error {
			c, err := check.Parse(s)
			of.Checks = append(of.Checks, c)
			return err
		}},
		{name: name + "-initial-delay", value: &p.InitialDelay},
		{name: name + "-period", value: &p.Period},
		{name: name + "-timeout", value: &p.Timeout},
		{name: name + "-success-threshold", value: &p.SuccessThreshold},
		{name: name + "-failure-threshold", value: &p.FailureThreshold},
	}
}

// prepare gives every check the header fields of --check-header, which may come
// after the check. It gives usher-check to each check that needs it.
func (o *options) prepare() (errs []error) {
	checks := append([]*check.Check{o.probeCheck}, o.config.WaitFor...)
	for _, of := range o.config.Checks {
		checks = append(checks, of.Checks...)
	}
	for i, c := range checks {
		switch {
		case c == nil: // a mistake that is reported already
			continue
		case c.IsNotify() && i <= len(o.config.WaitFor):
			errs = append(errs, fmt.Errorf("check %q: cannot be used with --probe or --wait-for", c))
		}
		c.SetHeaders(o.headers)
		if c.NeedsTool() {
			file := usherCheck()
			if err := unix.Access(file, unix.X_OK); err != nil {
				errs = append(errs, fmt.Errorf("check %q needs usher-check beside usher: %q: %w", c, file, err))
			}
			c.SetTool(file)
		}
	}
	return errs
}
