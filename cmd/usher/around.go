package main

import (
	"strings"

	"usher/healthz/check"
	"usher/signals"
	"usher/supervisor/command"
	"usher/supervisor/config"
	"usher/supervisor/lifecycle"
)

// aroundFlags are the flags for a stop, and for what runs before, beside and
// after the app.
func aroundFlags(c *config.Config) []setting {
	return []setting{
		{name: "stop-signals", def: "TERM", value: func(s string) error {
			for name := range strings.SplitSeq(s, ",") {
				sig, err := signals.Parse(name)
				if err != nil {
					return err
				}
				c.StopSignals = append(c.StopSignals, sig)
			}
			return nil
		}},
		{name: "stop-schedule", value: func(s string) (err error) {
			c.StopSchedule, err = lifecycle.ParseSchedule(s)
			return err
		}},
		{name: "wait-for", value: func(s string) error {
			w, err := check.Parse(s)
			c.WaitFor = append(c.WaitFor, w)
			return err
		}},
		{name: "wait-timeout", value: &c.WaitTimeout},
		{name: "pre-start", value: func(s string) error {
			words, err := check.Words(strings.TrimPrefix(s, "exec:")) // the prefix that other hooks need
			c.PreStart = append(c.PreStart, words)
			return err
		}},
		{name: "hook-timeout", value: &c.HookTimeout},
		{name: "restart", def: "no", value: func(s string) (err error) {
			c.Restart, err = lifecycle.ParseRestartPolicy(s)
			return err
		}},
		{name: "restart-max", value: &c.RestartMax},
		hook("post-start", &c.PostStart),
		hook("pre-stop", &c.PreStop),
		hook("post-stop", &c.PostStop),
	}
}

//go:noinline
func hook(name string, action **command.Action) setting {
	return setting{name: name, value: func(s string) (err error) {
		*action, err = command.ParseAction(s)
		return err
	}}
}
