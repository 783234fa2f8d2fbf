package main

import (
	"strings"
	"time"

	"github.com/spf13/pflag"

	"usher/healthz/check"
	"usher/signals"
	"usher/supervisor/command"
	"usher/supervisor/config"
	"usher/supervisor/lifecycle"
)

// aroundFlags adds the flags for a stop, and for what runs before, beside and
// after the app.
func aroundFlags(fs *pflag.FlagSet, c *config.Config) {
	fs.Var(&list{def: "TERM", add: func(s string) error {
		for name := range strings.SplitSeq(s, ",") {
			sig, err := signals.Parse(name)
			if err != nil {
				return err
			}
			c.StopSignals = append(c.StopSignals, sig)
		}
		return nil
	}}, "stop-signals", "")
	fs.Var(&list{add: func(s string) (err error) {
		c.StopSchedule, err = lifecycle.ParseSchedule(s)
		return err
	}}, "stop-schedule", "")
	fs.Var(&list{add: func(s string) error {
		w, err := check.Parse(s)
		c.WaitFor = append(c.WaitFor, w)
		return err
	}}, "wait-for", "")
	fs.DurationVar(&c.WaitTimeout, "wait-timeout", time.Minute, "")
	fs.Var(&list{add: func(s string) error {
		words, err := check.Words(strings.TrimPrefix(s, "exec:")) // the prefix that other hooks need
		c.PreStart = append(c.PreStart, words)
		return err
	}}, "pre-start", "")
	for _, hook := range [...]struct {
		name   string
		action **command.Action
	}{{"post-start", &c.PostStart}, {"pre-stop", &c.PreStop}, {"post-stop", &c.PostStop}} {
		fs.Var(&list{add: func(s string) (err error) {
			*hook.action, err = command.ParseAction(s)
			return err
		}}, hook.name, "")
	}
	fs.DurationVar(&c.HookTimeout, "hook-timeout", 0, "")
	fs.Var(&list{def: "no", add: func(s string) (err error) {
		c.Restart, err = lifecycle.ParseRestartPolicy(s)
		return err
	}}, "restart", "")
	fs.IntVar(&c.RestartMax, "restart-max", 0, "")
}
