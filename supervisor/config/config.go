// Package config is all that usher can be told, and what follows from it.
package config

import (
	"fmt"
	"time"

	"usher/healthz/check"
	"usher/internal/file"
	"usher/signals"
	"usher/supervisor/command"
	"usher/supervisor/lifecycle"
	"usher/supervisor/probe"
	"usher/supervisor/traffic"
)

// Config is all that usher can be told. Its zero value with a Command is a plain init.
type Config struct {
	// Command is the app: a name that is looked up in PATH, or a path, and its
	// arguments.
	Command []string
	// Env is the app's environment, in the form "key=value".
	Env []string

	// User is who the app runs as: USER[:GROUP], names or numbers; "" is usher's own.
	User string
	// NoNewPrivs is for the app, hooks and checks: they get no privileges by what they
	// execute (prctl(2), PR_SET_NO_NEW_PRIVS).
	NoNewPrivs bool
	// ParentDeathSignal is sent to usher when usher's parent dies, and treated as any
	// signal. 0 is none.
	ParentDeathSignal signals.Signal
	// ExitCodes are the app's exit codes, 128+n for signal n, that become others.
	ExitCodes map[int]int

	// Rewrites are the signals that reach the app as others.
	Rewrites signals.Rewrites
	// ProcessGroup sends signals to the app's whole process group, not only to the app.
	ProcessGroup bool

	Stop
	Hooks

	// Restart says after which ends the app is started again, and RestartMax how often
	// in a row. 0 is no limit.
	Restart    lifecycle.RestartPolicy
	RestartMax int

	// HealthAddrs are where the endpoints are served, each host:port or unix:/path.
	HealthAddrs []string
	// Settings say when the app is healthy.
	probe.Settings
	// OnUnhealthy is what usher does when a live check has failed.
	OnUnhealthy UnhealthyPolicy

	// TerminationLog is the file for the last word; "" is none.
	TerminationLog string
	// CreateTerminationLog makes the file if it is missing.
	CreateTerminationLog bool
	// TerminationTail is how many of the last lines of the app's stderr are put there as
	// well. 0 is none, and usher does not look at stderr then.
	TerminationTail int
	// TerminationJSON writes the last word as a JSON object, and not as a line for
	// people.
	TerminationJSON bool

	// AppendFlags appends the settings in words, for /flagz.
	AppendFlags func(b []byte) []byte

	Compat
}

// Stop is how a stop goes.
type Stop struct {
	// StopSignals begin a stop.
	StopSignals []signals.Signal
	// GracePeriod is what the orchestrator grants from the stop signal on
	// (terminationGracePeriodSeconds, docker stop -t). 0 is unknown: usher never kills
	// then.
	GracePeriod time.Duration
	// TermDelay is how long a stop signal is held back from the app. 0 is not at all.
	TermDelay time.Duration
	// QuietPeriod ends the hold when no traffic has come in for so long since the stop
	// signal. 0 is that traffic does not end the hold.
	QuietPeriod time.Duration
	// QuietNewOnly has the quiet period be about new connections only, however busy
	// those are that were there at the stop signal.
	QuietNewOnly bool
	// QuietIgnore are the peers whose connections don't count.
	QuietIgnore []traffic.Net
	// DrainTimeout is how long the app, after the hold, may take to answer the requests
	// that it has got. 0 is not at all.
	DrainTimeout time.Duration
	// StopSchedule is what the app is sent after that. Its zero value is the stop signal,
	// and SIGKILL in time before the grace period ends.
	StopSchedule lifecycle.Schedule
	// StragglerGrace is how long processes that outlive the app have to end after
	// SIGTERM, before SIGKILL.
	StragglerGrace time.Duration
}

// Hooks are what is done before, beside and after the app.
type Hooks struct {
	// WaitFor are checks that have to hold once, one after the other, before the app is
	// started.
	WaitFor []*check.Check
	// WaitTimeout is how long all of that may take. 0 is no limit.
	WaitTimeout time.Duration
	// PreStart are commands that have to succeed, in order, before the app is started.
	PreStart [][]string
	// PostStart runs beside the app, which is not ready before it has succeeded. If it
	// fails the app is stopped. PreStop runs in a stop before the app gets a signal,
	// PostStop when no process is left. Nil is none.
	PostStart, PreStop, PostStop *command.Action
	// HookTimeout is how long each of these may take. 0 is no limit for PreStart and
	// PostStart, and a quarter of GracePeriod, or 30s, for the others.
	HookTimeout time.Duration
}

// Compat is what other inits do, and only usher's personalities ask for.
type Compat struct {
	// Session makes the app the leader of a session of its own, which takes over the
	// terminal on stdin.
	Session bool
	// StopSelf makes usher stop itself when it has forwarded SIGTSTP, SIGTTIN or
	// SIGTTOU.
	StopSelf bool
	// LeaveBehind leaves alone what outlives the app, if usher is not PID 1 and does not
	// start the app again. What is left of a Session's group gets SIGTERM, after
	// Rewrites.
	LeaveBehind bool
	// LeaveDirectory makes / usher's own working directory once the app has started, if
	// nothing else is done in the present one.
	LeaveDirectory bool
	// StartCode is the exit code for a command that cannot be started. 0 is the shells'
	// 126 and 127.
	StartCode int
	// Orphan, if not nil, is called for each process that is reaped before the app has
	// ended. It must not block.
	Orphan func(pid int)
	// Pause starts no app: usher reaps zombies until SIGINT or SIGTERM. Its process
	// holds a pod's namespaces open.
	Pause bool
}

// UnhealthyPolicy says what usher does when a live check, a startup check or the
// app's watchdog has failed.
type UnhealthyPolicy uint8

const (
	UnhealthyReport UnhealthyPolicy = iota // /livez says so, and the orchestrator acts
	UnhealthyStop                          // usher stops the app, and RestartPolicy decides whether it is started again
)

// ParseUnhealthyPolicy reads report or stop.
func ParseUnhealthyPolicy(s string) (UnhealthyPolicy, error) {
	switch s {
	case "report":
		return UnhealthyReport, nil
	case "stop":
		return UnhealthyStop, nil
	}
	return 0, fmt.Errorf("policy for an unhealthy app %q: want report or stop", s)
}

// Plan is what a stop will do if each part takes as long as it may. The Config has to
// be valid.
func (c *Config) Plan() []lifecycle.Stage {
	o := c.Lifecycle()
	return o.Plan()
}

// Lifecycle is what the life of the app depends on.
func (c *Config) Lifecycle() lifecycle.Options {
	return lifecycle.Options{
		StopSignals:        c.StopSignals,
		Rewrites:           c.Rewrites,
		Hold:               c.TermDelay,
		Quiet:              c.QuietPeriod,
		QuietNewOnly:       c.QuietNewOnly,
		Drain:              c.DrainTimeout,
		Grace:              c.GracePeriod,
		Schedule:           c.StopSchedule,
		Stragglers:         c.StragglerGrace,
		ReadyWhileDraining: c.ReadyWhileDraining,
		Waits:              len(c.WaitFor) > 0,
		WaitTimeout:        c.WaitTimeout,
		PreStarts:          len(c.PreStart),
		HookTimeout:        c.HookTimeout,
		PostStart:          c.PostStart.String(),
		PreStop:            c.PreStop.String(),
		PostStop:           c.PostStop.String(),
		Restart:            c.Restart,
		RestartMax:         c.RestartMax,
	}
}

// HasHooks reports whether there are hooks, or something to wait for.
func (c *Config) HasHooks() bool {
	return len(c.WaitFor) > 0 || len(c.PreStart) > 0 || c.PostStart != nil || c.PreStop != nil || c.PostStop != nil
}

// Watches reports whether a stop looks at traffic.
func (c *Config) Watches() bool { return c.QuietPeriod > 0 || c.DrainTimeout > 0 }

// Quiet says what has to be true of traffic for the hold to end early.
func (c *Config) Quiet() string {
	if c.QuietNewOnly {
		return "without a new connection for " + c.QuietPeriod.String()
	}
	return "quiet for " + c.QuietPeriod.String()
}

// Besides reports whether anything runs beside the loop, on goroutines that wait and
// on timers.
func (c *Config) Besides() bool {
	return c.Any() || c.Watches() || c.HasHooks() || c.Watchdog > 0 || len(c.HealthAddrs) > 0
}

// LookUps is the number of calls that look up a path, of checks and hooks, which can
// be in the kernel at a time while a file system does not answer. Checks before the
// app (WaitFor) are made one at a time.
func (c *Config) LookUps() int {
	n := min(len(c.WaitFor), 1)
	for role := range c.Checks {
		for _, check := range c.Checks[role].Checks {
			n += check.LookUps()
		}
	}
	for _, hook := range [...]*command.Action{c.PostStart, c.PreStop, c.PostStop} {
		if hook != nil {
			n += hook.Request.LookUps()
		}
	}
	if c.Any() || c.HasHooks() {
		n++ // for an explanation
	}
	return min(n, file.MaxCalls)
}

// LeavesDirectory reports whether usher does not need its working directory any more
// once the app has started.
func (c *Config) LeavesDirectory() bool {
	log := c.TerminationLog
	return c.LeaveDirectory && !c.Any() && !c.HasHooks() && c.Restart == lifecycle.RestartNo && (log == "" || log[0] == '/')
}
