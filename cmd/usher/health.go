package main

import (
	"fmt"

	"github.com/spf13/pflag"
	"golang.org/x/sys/unix"

	"usher/healthz/check"
	"usher/supervisor/config"
)

// healthFlags adds the flags for endpoints and checks.
func healthFlags(fs *pflag.FlagSet, o *options) {
	c := &o.config
	fs.Var(&list{add: func(s string) error {
		if s != "" { // an empty variable adds no address
			c.HealthAddrs = append(c.HealthAddrs, s)
		}
		return nil
	}}, "health-addr", "")
	fs.BoolVar(&c.ReadyWhileDraining, "ready-while-draining", false, "")
	fs.Var(&list{def: "report", add: func(s string) (err error) {
		c.OnUnhealthy, err = config.ParseUnhealthyPolicy(s)
		return err
	}}, "on-unhealthy", "")
	fs.DurationVar(&c.Watchdog, "watchdog", 0, "")
	for role := range check.Roles {
		checkFlags(fs, role, c)
	}
	fs.Var(&list{add: func(s string) error {
		header, err := check.ParseHeader(s)
		o.headers = append(o.headers, header)
		return err
	}}, "check-header", "")
}

// checkFlags adds the flags of one role: --live-check, --live-period, and so
// on.
func checkFlags(fs *pflag.FlagSet, role check.Role, c *config.Config) {
	of := &c.Checks[role]
	name := role.String()
	of.Params = check.DefaultParams()
	p := &of.Params
	fs.Var(&list{add: func(s string) error {
		c, err := check.Parse(s)
		of.Checks = append(of.Checks, c)
		return err
	}}, name+"-check", "")
	fs.DurationVar(&p.InitialDelay, name+"-initial-delay", p.InitialDelay, "")
	fs.DurationVar(&p.Period, name+"-period", p.Period, "")
	fs.DurationVar(&p.Timeout, name+"-timeout", p.Timeout, "")
	fs.IntVar(&p.SuccessThreshold, name+"-success-threshold", p.SuccessThreshold, "")
	fs.IntVar(&p.FailureThreshold, name+"-failure-threshold", p.FailureThreshold, "")
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
