// Package config has all settings of usher, and what follows from them.
package config

import (
	"fmt"
	"time"

	"usher/healthz/check"
	"usher/internal/file"
	"usher/signals"
	"usher/supervisor/command"
	"usher/supervisor/health"
	"usher/supervisor/lifecycle"
	"usher/supervisor/traffic"
)

// Config has all settings of usher. Its zero value with a Command is a plain
// init.
type Config struct {
	// Command is the app: a name that is looked up in PATH, or a path, and its
	// arguments.
	Command []string
	// Env is the app's environment, in the form "key=value".
	Env []string

	// User is the user that the app runs as: USER[:GROUP], names or numbers. ""
	// means usher's own user.
	User string
	// NoNewPrivs keeps the app, hooks and checks from getting privileges by what
	// they execute (prctl(2), PR_SET_NO_NEW_PRIVS).
	NoNewPrivs bool
	// ParentDeathSignal is a signal that the kernel sends to usher when usher's
	// parent dies. usher treats it as any signal. 0 means none.
	ParentDeathSignal signals.Signal
	// ExitCodes maps exit codes of the app, 128+n for signal n, to others.
	ExitCodes map[int]int

	// Rewrites are the signals that the app gets as other signals.
	Rewrites signals.Rewrites
	// ProcessGroup sends signals to the app's whole process group, not only to the
	// app.
	ProcessGroup bool

	Stop
	Hooks

	// Restart says after which ends of the app usher starts it again, and
	// RestartMax how often in a row. 0 means no limit.
	Restart    lifecycle.RestartPolicy
	RestartMax int

	// HealthAddrs are the addresses of the endpoints, each host:port or unix:/path.
	HealthAddrs []string
	// Settings say when the app is healthy.
	health.Settings
	// OnUnhealthy says what usher does when a live check has failed.
	OnUnhealthy UnhealthyPolicy

	// TerminationLog is the file for the last word. "" means none.
	TerminationLog string
	// CreateTerminationLog makes the file if it is missing.
	CreateTerminationLog bool
	// TerminationTail is how many of the last lines of the app's stderr usher adds
	// to the last word. 0 means none: usher does not read stderr then.
	TerminationTail int
	// TerminationJSON writes the last word as a JSON object, not as a line for
	// people.
	TerminationJSON bool

	// AppendFlags appends the settings, as text, for /flagz.
	AppendFlags func(b []byte) []byte

	Compat
}

// Stop has the settings of a stop.
type Stop struct {
	// StopSignals begin a stop.
	StopSignals []signals.Signal
	// GracePeriod is the time that the orchestrator grants, from the stop signal on
	// (terminationGracePeriodSeconds, docker stop -t). 0 means that it is unknown:
	// then usher never kills.
	GracePeriod time.Duration
	// TermDelay is how long usher holds a stop signal back from the app. 0 means no
	// hold.
	TermDelay time.Duration
	// QuietPeriod ends the hold when no traffic has come in for this long since the
	// stop signal. 0 means that traffic does not end the hold.
	QuietPeriod time.Duration
	// QuietNewOnly makes the quiet period depend on new connections only, however
	// busy older connections are.
	QuietNewOnly bool
	// QuietIgnore are the peers whose connections don't count.
	QuietIgnore []traffic.Net
	// DrainTimeout is how long the app, after the hold, may take to answer the
	// requests that it has got. 0 means no drain.
	DrainTimeout time.Duration
	// StopSchedule has the signals that usher sends the app after that. Its zero
	// value means the stop signal, and SIGKILL in time before the grace period
	// ends.
	StopSchedule lifecycle.Schedule
	// StragglerGrace is how long processes that outlive the app have to end after
	// SIGTERM, before SIGKILL.
	StragglerGrace time.Duration
}

// Hooks are the actions before, beside and after the app.
type Hooks struct {
	// WaitFor are checks that must hold once, one after the other, before the app
	// is started.
	WaitFor []*check.Check
	// WaitTimeout is how long all of WaitFor may take together. 0 means no limit.
	WaitTimeout time.Duration
	// PreStart are commands that must succeed, in order, before the app is started.
	PreStart [][]string
	// PostStart runs beside the app, which is not ready before PostStart has
	// succeeded. If PostStart fails, usher stops the app. PreStop runs in a stop
	// before the app gets a signal, PostStop when no process is left. Nil means
	// none.
	PostStart, PreStop, PostStop *command.Action
	// HookTimeout is how long each of these may take. 0 means no limit for PreStart
	// and PostStart, and a quarter of GracePeriod, or 30s, for the others.
	HookTimeout time.Duration
}

// Compat has what other inits do. Only usher's personalities set it.
type Compat struct {
	// Session makes the app the leader of a new session, which takes over the
	// terminal on stdin.
	Session bool
	// StopSelf makes usher stop itself after it has forwarded SIGTSTP, SIGTTIN or
	// SIGTTOU.
	StopSelf bool
	// LeaveBehind leaves the processes alone that outlive the app, if usher is not
	// PID 1 and does not start the app again. If Session is set, the rest of the
	// app's process group gets SIGTERM, after Rewrites.
	LeaveBehind bool
	// LeaveDirectory makes / usher's own working directory once the app has
	// started, if usher has no more use for the present one.
	LeaveDirectory bool
	// StartCode is the exit code for a command that cannot be started. 0 means 126
	// or 127, as in shells.
	StartCode int
	// Orphan, if not nil, is called for each process that usher reaps before the
	// app has ended. It must not block.
	Orphan func(pid int)
	// Pause starts no app: usher reaps zombies until SIGINT or SIGTERM. Its process
	// holds a pod's namespaces open.
	Pause bool
}

// UnhealthyPolicy says what usher does when a live check, a startup check or
// the app's watchdog has failed.
type UnhealthyPolicy uint8

const (
	UnhealthyReport UnhealthyPolicy = iota // /livez fails, and the orchestrator acts
	UnhealthyStop                          // usher stops the app, and RestartPolicy decides whether it is started again
)

// ParseUnhealthyPolicy parses report or stop.
func ParseUnhealthyPolicy(s string) (UnhealthyPolicy, error) {
	switch s {
	case "report":
		return UnhealthyReport, nil
	case "stop":
		return UnhealthyStop, nil
	}
	return 0, fmt.Errorf("policy for an unhealthy app %q: want report or stop", s)
}

// Plan returns the stages of a stop in which each part takes as long as it may.
// The Config must be valid.
func (c *Config) Plan() []lifecycle.Stage {
	o := c.Lifecycle()
	return o.Plan()
}

// Lifecycle returns the settings of the app's life cycle.
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

// HasHooks reports whether there are hooks, or checks to wait for.
func (c *Config) HasHooks() bool {
	return len(c.WaitFor) > 0 || len(c.PreStart) > 0 || c.PostStart != nil || c.PreStop != nil || c.PostStop != nil
}

// Watches reports whether a stop looks at traffic.
func (c *Config) Watches() bool { return c.QuietPeriod > 0 || c.DrainTimeout > 0 }

// Quiet describes the state of traffic that ends the hold early.
func (c *Config) Quiet() string {
	if c.QuietNewOnly {
		return "without a new connection for " + c.QuietPeriod.String()
	}
	return "quiet for " + c.QuietPeriod.String()
}

// UsesGoroutines reports whether anything runs beside the loop, on goroutines that
// wait and on timers.
func (c *Config) UsesGoroutines() bool {
	return c.Any() || c.Watches() || c.HasHooks() || c.Watchdog > 0 || len(c.HealthAddrs) > 0
}

// LookUps returns the largest number of path lookups, by checks and hooks, that
// can be in the kernel at a time while a file system does not answer. Checks
// before the app (WaitFor) run one at a time.
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

// LeavesDirectory reports whether usher no longer needs its working directory
// once the app has started.
func (c *Config) LeavesDirectory() bool {
	log := c.TerminationLog
	return c.LeaveDirectory && !c.Any() && !c.HasHooks() &&
		c.Restart == lifecycle.RestartNo && (log == "" || log[0] == '/')
}
