package supervisor

import (
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/go-multierror"
	"golang.org/x/sys/unix"

	"usher/healthz"
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
	// Command is the app: a name looked up in PATH, or a path, and its arguments.
	Command []string
	// Env is the app's environment, in the form "key=value".
	Env []string

	// User is who the app runs as: USER[:GROUP], names or numbers; "" is usher's own.
	User string
	// NoNewPrivs is for the app, hooks and checks: they get no privileges by what they execute (prctl(2), PR_SET_NO_NEW_PRIVS).
	NoNewPrivs bool
	// ParentDeathSignal is sent to usher, and treated as any signal, when usher's parent dies; 0 is none.
	ParentDeathSignal signals.Signal
	// ExitCodes are the app's exit codes, 128+n for signal n, that become others.
	ExitCodes map[int]int

	// Rewrites are the signals that reach the app as others.
	Rewrites signals.Rewrites
	// ProcessGroup sends signals to the app's whole process group, not only to the app.
	ProcessGroup bool

	// TermDelay is how long a stop signal is held back from the app; 0 is not at all.
	TermDelay time.Duration
	// QuietPeriod ends the hold once nothing has come in for so long, counted from the stop signal at the earliest; 0 is that it does not.
	QuietPeriod time.Duration
	// QuietIgnore are the peers whose connections don't count.
	QuietIgnore []traffic.Net
	// DrainTimeout is how long the app, after the hold, may take to answer what it has been asked; 0 is not at all.
	DrainTimeout time.Duration
	// GracePeriod is what the orchestrator grants from the stop signal on (terminationGracePeriodSeconds, docker stop -t); 0 is
	// unknown, and usher then never kills.
	GracePeriod time.Duration

	// StopSignals begin a stop.
	StopSignals []signals.Signal
	// StopSchedule is what the app is then sent. Its zero value is the stop signal, and SIGKILL in time before the grace period ends.
	StopSchedule lifecycle.Schedule

	// WaitFor has to hold once, one after the other, before the app is started.
	WaitFor []*check.Check
	// WaitTimeout is how long all of that may take; 0 is as long as it takes.
	WaitTimeout time.Duration
	// PreStart are commands that have to succeed, in order, before the app is started.
	PreStart [][]string
	// PostStart, beside the app, has to succeed for it to be ready; if it fails the app is stopped. PreStop is done in a stop before the app is
	// told, PostStop when nothing runs any more. Nil is none.
	PostStart, PreStop, PostStop *command.Action
	// HookTimeout is how long each of these may take. 0 is as long as they need for PreStart and PostStart, a quarter of GracePeriod, or
	// 30s, for the others.
	HookTimeout time.Duration

	// Restart says after which ends the app is started again, RestartMax how often in a row; 0 is no limit.
	Restart    lifecycle.RestartPolicy
	RestartMax int

	// StragglerGrace is how long what outlives the app has to end after SIGTERM, before SIGKILL.
	StragglerGrace time.Duration

	// HealthAddrs are where the endpoints are served, each host:port or unix:/path.
	HealthAddrs []string
	// Settings say when the app is healthy.
	probe.Settings
	// OnUnhealthy is what usher does when a live check has failed.
	OnUnhealthy UnhealthyPolicy

	// TerminationLog is the file for the last word; "" is none.
	TerminationLog string
	// CreateTerminationLog makes the file where it is missing; without, a missing one is left alone.
	CreateTerminationLog bool
	// TerminationTail is how many of the last lines of the app's stderr are put there as well; 0 is none, and stderr is then not looked at.
	TerminationTail int
	// TerminationJSON writes it as a JSON object, and not as a line for people.
	TerminationJSON bool

	// What only usher's personalities ask for.

	// Session makes the app the leader of a session of its own, which takes over the terminal on stdin.
	Session bool
	// StopSelf makes usher stop itself when it has passed on SIGTSTP, SIGTTIN or SIGTTOU.
	StopSelf bool
	// LeaveBehind lets what outlives the app be, where usher is not PID 1 and does not start the app again; what is left of a Session's group gets
	// SIGTERM, after Rewrites.
	LeaveBehind bool
	// LeaveDirectory makes / usher's own working directory once the app has started, where nothing else is done in the present one.
	LeaveDirectory bool
	// StartCode is the exit code for a command that cannot be started; 0 is the shells' 126 and 127.
	StartCode int
	// Orphan, if not nil, is told of every process reaped before the app has ended. It must not block.
	Orphan func(pid int)
	// Pause starts no app: usher reaps zombies until SIGINT or SIGTERM, and holds a pod's namespaces open by that.
	Pause bool
}

// Validate returns all that is wrong, as a *multierror.Error, or nil.
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
		errs = multierror.Append(errs, fmt.Errorf("--quiet-period %v: must be from 0 to --term-delay, which is %v", c.QuietPeriod, c.TermDelay))
	}
	if len(c.QuietIgnore) > 0 && !c.watches() {
		errs = multierror.Append(errs, errors.New("--quiet-ignore: there is neither --quiet-period nor --drain-timeout"))
	}
	if c.RestartMax < 0 {
		errs = multierror.Append(errs, fmt.Errorf("--restart-max %d: must not be negative", c.RestartMax))
	}
	for _, sig := range c.StopSignals {
		if sig == unix.SIGKILL || sig == unix.SIGSTOP || sig == unix.SIGCHLD {
			errs = multierror.Append(errs, fmt.Errorf("--stop-signals %s: usher never sees it", signals.Name(sig)))
		}
	}
	life := c.lifecycle()
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
	for role := range check.Roles {
		errs = multierror.Append(errs, mistakes(c.Checks[role].Params.Validate(role))...)
	}
	return errs.ErrorOrNil()
}

// Plan is what a stop will do if all takes as long as it may. The Config has to be valid.
func (c *Config) Plan() []lifecycle.Stage {
	o := c.lifecycle()
	return o.Plan()
}

// lifecycle is what the life of the app depends on.
func (c *Config) lifecycle() lifecycle.Options {
	return lifecycle.Options{
		StopSignals:        c.StopSignals,
		Rewrites:           c.Rewrites,
		Hold:               c.TermDelay,
		Quiet:              c.QuietPeriod,
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

// hooks reports whether there are any, or something to wait for.
func (c *Config) hooks() bool {
	return len(c.WaitFor) > 0 || len(c.PreStart) > 0 || c.PostStart != nil || c.PreStop != nil || c.PostStop != nil
}

// watches is whether a stop looks at traffic.
func (c *Config) watches() bool { return c.QuietPeriod > 0 || c.DrainTimeout > 0 }

// besides is whether anything runs beside the loop, on goroutines that wait and on timers.
func (c *Config) besides() bool {
	return c.Any() || c.watches() || c.hooks() || c.Watchdog > 0 || len(c.HealthAddrs) > 0
}

// lookUps is how many calls that look up a path checks and hooks can have in the kernel at a time, for as long as the file system does not
// answer. What is waited for before the app takes one at a time.
func (c *Config) lookUps() int {
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
	if c.Any() || c.hooks() {
		n++ // for an explanation
	}
	return min(n, file.MaxCalls)
}

// leavesDirectory is whether usher needs its working directory no more, once the app has started.
func (c *Config) leavesDirectory() bool {
	log := c.TerminationLog
	return c.LeaveDirectory && !c.Any() && !c.hooks() && c.Restart == lifecycle.RestartNo && (log == "" || log[0] == '/')
}

// mistakes are the single errors in err, which may be nil.
func mistakes(err error) []error {
	switch err := err.(type) {
	case nil:
		return nil
	case *multierror.Error:
		return err.Errors
	}
	return []error{err}
}
