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

const usage = `usher starts a command as the init of a container, forwards its signals, reaps zombies, serves health
endpoints, holds SIGTERM back until traffic has moved on, and says why it ended.

Usage:
  usher [flags] [--] command [args...]
  usher --probe CHECK|livez|readyz|startupz|healthz
  usher --install PATH

Signals:
  -r, --rewrite FROM:TO          send the app TO instead of FROM; TO = 0 swallows it (repeatable)
  -g, --process-group            send signals to the app's whole process group
  -p, --parent-death-signal SIG  get SIG when the parent of usher dies, and forward it as any signal

The app:
  -u, --user USER[:GROUP]        run the app as another user: names or numbers
      --no-new-privs             setuid programs and file capabilities give the app, hooks and checks nothing
      --exit-code FROM=TO        end with TO where the app ends with FROM (repeatable): 143=0

Stopping:
      --term-delay DURATION      hold SIGTERM back from the app for this long, while /readyz fails
      --quiet-period DURATION    ... but no longer than until nothing has come in for this long
      --quiet-mode MODE          what: traffic, or new-connections, for an app that finishes its answers (traffic)
      --quiet-ignore NETWORK     leave out peers, such as a node's probes: 10.0.0.7,fd00::/8 (repeatable)
      --drain-timeout DURATION   then wait for requests that are being answered, at most this long
      --grace-period DURATION    what the orchestrator grants from SIGTERM on (terminationGracePeriodSeconds,
                                 docker stop -t): the app gets SIGKILL in time before its end
      --stop-signals SIG,...     what begins a stop (TERM)
      --stop-schedule SCHEDULE   what the app is then sent: signals and how long to wait after each, TERM/20s/QUIT/5s/KILL
      --straggler-grace DURATION what still runs when the app has ended gets SIGTERM, and after this long SIGKILL (2s)
      --plan                     print what a stop would do, and when, and start nothing

Around the app:
      --wait-for CHECK           start the app when the check has held once (repeatable), or end with 124
      --wait-timeout DURATION    ... after this long (1m; 0 is never)
      --pre-start COMMAND        before the app (repeatable, in order); each has to succeed
      --post-start ACTION        beside the app; has to succeed. ACTION: exec:command args..., http://host:port/path
      --pre-stop ACTION          in a stop, before the app is told
      --post-stop ACTION         when nothing runs any more
      --hook-timeout DURATION    for each of these (before the app: none; in a stop: a quarter of --grace-period, or 30s)
      --restart POLICY           start the app again: no, on-failure, always (no); at once, then after 10s, doubled up to 5m
      --restart-max N            how often, in a row

Health:
      --health-addr HOST:PORT    serve /livez, /readyz, /startupz and /healthz there: ":8086", "unix:/path" (repeatable)
      --ready-check CHECK        /readyz holds while the check does (repeatable)
      --live-check CHECK         /livez holds while the check does (repeatable)
      --startup-check CHECK      /startupz holds once the check has; until then the others wait (repeatable)
                                 CHECK: http://host:port/path, https://…, tcp://host:port, unix:///path, file:/path,
                                 grpc://host:port/service, grpcs://…, exec:command args...,
                                 notify: (the app sent READY=1, sd_notify)
      --check-header 'NAME: VALUE'         goes with every http and https check (repeatable)
  Each of ready, live and startup has Kubernetes' parameters:
      --ready-initial-delay DURATION       (0s)
      --ready-period DURATION              (10s)
      --ready-timeout DURATION             (1s)
      --ready-success-threshold N          (1; only ready may have more)
      --ready-failure-threshold N          (3)
      --ready-while-draining     /readyz holds in a stop as well, until the app is told of it
      --on-unhealthy POLICY      when a live or startup check has failed: report (in /livez), stop (the app; see --restart) (report)
      --watchdog DURATION        /livez fails when the app has not sent WATCHDOG=1 (sd_notify) for this long
      --probe CHECK              run a check, or ask usher's own endpoint at --health-addr, within --ready-timeout: exit code 0 or 1

Other:
      --install PATH             copy usher there, a file or a directory, and usher-check if it lies beside usher
      --termination-log FILE     where the reason goes ("/dev/termination-log" where it exists; "" for nowhere)
      --termination-format FORMAT text or json (text)
      --termination-tail N       the app's last N lines of stderr go there as well (0)
      --log-format FORMAT        text or json (text)
  -q, --quiet                    log errors only
  -v, --verbose                  log everything
      --version
  -h, --help

Each flag that is a setting (not --plan, --probe, --install) is also an environment variable: --term-delay is USHER_TERM_DELAY.
Repeatable ones take a value a line. A flag beats its variable. The app does not see USHER_* variables.

Exit codes: the app's own; 128+n if signal n killed it; 127 command not found, 126 found but can't be run; 125 usher failed or was
called wrongly.

Examples:
  usher -- nginx -g 'daemon off;'
  usher --term-delay 10s --rewrite TERM:QUIT --health-addr :8086 --ready-check http://localhost/ -- nginx -g 'daemon off;'
`

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
