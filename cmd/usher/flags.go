package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/go-multierror"
	"golang.org/x/sys/unix"

	"usher/healthz/check"
	"usher/signals"
	"usher/supervisor/config"
	"usher/supervisor/event"
	"usher/supervisor/traffic"
)

// defaultTerminationLog is Kubernetes' default terminationMessagePath, which
// kubelet mounts.
const defaultTerminationLog = "/dev/termination-log"

// options is the parsed command line and environment.
type options struct {
	config        config.Config
	level         event.Level
	logJSON       bool
	help, version bool
	headers       []check.Header
	probe         string
	install       string
	probeCheck    *check.Check
	notice        notice // a personality prints it instead of a start
	settings      []setting
	unknown       []string // variables that begin with USHER_, but belong to no flag
	plan          bool
	planAlone     bool // no other flag says of what
	warnOrphans   bool // warn about orphans in tini's words
}

// parse reads the arguments and the environment. If as is not nil, the
// arguments are those of another init. The error is a *multierror.Error with
// every mistake.
func parse(as *personality, args, environ []string) (options, error) {
	o := options{level: event.Info, config: config.Config{Rewrites: signals.Rewrites{}, ExitCodes: map[int]int{}}}
	c := &o.config
	var beQuiet, beVerbose bool

	o.settings = o.flags(&beQuiet, &beVerbose)

	var errs *multierror.Error
	m := &mimicry{o: &o}
	command, mistakes := as.parse(m, args, environ)
	errs = multierror.Append(errs, mistakes...)
	c.Command = command
	o.planAlone = o.plan && as == nil && len(command) == 0 && o.onlyAsks()
	c.Env, mistakes = o.parseEnv(environ)
	errs = multierror.Append(errs, mistakes...)
	c.CreateTerminationLog = o.given("termination-log")
	if len(c.StopSignals) == 0 {
		c.StopSignals = []signals.Signal{unix.SIGTERM}
	}
	as.finish(m)
	c.LeaveBehind = as != nil && !o.given("straggler-grace") // otherwise the flag would have no effect
	if o.plan && len(c.Command) == 0 {
		c.Command = []string{"app"} // the plan does not depend on it
	}
	switch {
	case beQuiet && beVerbose:
		errs = multierror.Append(errs, errors.New("--quiet and --verbose: choose one"))
	case beQuiet:
		o.level = event.Error
	case beVerbose:
		o.level = event.Debug
	}
	if o.help || o.version || o.notice.text != "" {
		return o, nil
	}
	if o.given("install") {
		if o.install == "" || len(c.Command) > 0 || o.given("probe") {
			errs = multierror.Append(errs,
				errors.New("--install takes a path, and neither a command nor --probe with it"))
		}
	} else if o.given("probe") {
		errs = multierror.Append(errs, o.validateProbe()...)
	} else if err := c.Validate(); err != nil {
		errs = multierror.Append(errs, err)
	}
	errs = multierror.Append(errs, o.prepare()...)
	return o, errs.ErrorOrNil()
}

func (o *options) validateProbe() (errs []error) {
	if len(o.config.Command) > 0 {
		errs = append(errs, fmt.Errorf("--probe starts no command, but there is one: %q", o.config.Command[0]))
	}
	var err error
	if o.probeCheck, err = probeCheck(o.probe, o.config.HealthAddrs); err != nil {
		errs = append(errs, err)
	}
	if err := o.config.Checks[check.Ready].Params.Validate(check.Ready); err != nil {
		errs = append(errs, err)
	}
	return errs
}

// flags are usher's own flags, in the order of --help.
func (o *options) flags(beQuiet, beVerbose *bool) []setting {
	c := &o.config
	c.StragglerGrace, c.WaitTimeout, c.TerminationLog = 2*time.Second, time.Minute, defaultTerminationLog
	settings := []setting{
		{name: "rewrite", short: 'r', value: c.Rewrites.Parse},
		{name: "process-group", short: 'g', value: &c.ProcessGroup},
		{name: "parent-death-signal", short: 'p', value: func(s string) (err error) {
			c.ParentDeathSignal, err = signals.Parse(s)
			return err
		}},
		{name: "user", short: 'u', value: &c.User},
		{name: "no-new-privs", value: &c.NoNewPrivs},
		{name: "exit-code", value: func(s string) error { return parseExitCode(c.ExitCodes, s) }},
		{name: "term-delay", value: &c.TermDelay},
		{name: "quiet-period", value: &c.QuietPeriod},
		either("quiet-mode", &c.QuietNewOnly, "traffic", "new-connections"),
		{name: "quiet-ignore", value: func(s string) error {
			nets, err := traffic.ParseNets(s)
			c.QuietIgnore = append(c.QuietIgnore, nets...)
			return err
		}},
		{name: "drain-timeout", value: &c.DrainTimeout},
		{name: "grace-period", value: &c.GracePeriod},
		{name: "straggler-grace", value: &c.StragglerGrace},
		{name: "plan", value: &o.plan, asks: true},
		{name: "probe", value: &o.probe, asks: true},
		{name: "install", value: &o.install, asks: true},
		{name: "termination-log", value: &c.TerminationLog},
		either("termination-format", &c.TerminationJSON, "text", "json"),
		{name: "termination-tail", value: &c.TerminationTail},
		either("log-format", &o.logJSON, "text", "json"),
		{name: "quiet", short: 'q', value: beQuiet},
		{name: "verbose", short: 'v', value: beVerbose},
		{name: "version", value: &o.version, asks: true},
		{name: "help", short: 'h', value: &o.help, asks: true},
	}
	return append(append(settings, aroundFlags(c)...), healthFlags(o)...)
}
