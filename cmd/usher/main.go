// Usher is the ENTRYPOINT of a container: it starts the app as its child and
// stands in for it as PID 1.
//
// The order in main is the design. First come the signals, so that none can do
// harm. Then every mistake is reported, while nothing has been started. Then
// the app is started, and from there on nothing may fail: the death of PID 1
// kills the container.
package main

import (
	"os"
	"runtime"

	"usher/healthz/check"
	"usher/signals"
	"usher/signals/entry"
	_ "usher/signals/fatal"
	"usher/supervisor"
	"usher/supervisor/event"
	"usher/supervisor/exitcode"
	"usher/supervisor/goruntime"
)

// The linker sets both: version for make build, unreleased for make release.
var (
	version    = "devel"
	unreleased = ", not a release ("
)

// without is a second line of the version, for a program that lacks layers of the
// entry point.
func without() string {
	if entry.Missing == "" {
		return ""
	}
	return "without" + entry.Missing + "\n"
}

func init() {
	// Signals, wait and kill belong to one thread, which is also the one for the
	// parent death signal and the terminal.
	signals.LockThread()
	goruntime.GrowStack()
}

func main() {
	entry.Lower() // has no effect if the entry point has done it
	source, err := signals.Open()
	if err != nil {
		(&options{}).fail(exitcode.Failure, err)
	}
	check.Version = version
	as := personalityOf(os.Args)
	o, err := parse(as, os.Args[min(1, len(os.Args)):], signals.Environ())
	switch {
	case o.help:
		actAsTool()
		exit(printOut(1, helpText(len(o.config.Command) == 1 && o.config.Command[0] == "all")))
	case o.version:
		actAsTool()
		exit(printOut(1, "usher "+version+unreleased+runtime.Version()+
			", signals from "+signals.SourceName+")\n"+without()))
	case o.notice.text != "":
		actAsTool()
		exit(printOut(o.notice.fd, o.notice.text))
	case err != nil && as != nil:
		hint := as.usage + "; usher's own settings are variables, such as USHER_TERM_DELAY=10s"
		o.fail(as.wrong, err, o.hints(err, hint)...)
	case err != nil:
		o.fail(exitcode.Failure, err, o.hints(err, "usher --help all lists the flags and their variables")...)
	case o.install != "":
		actAsTool()
		if err := install(o.install); err != nil {
			o.fail(exitcode.Failure, err)
		}
		exit(0)
	case o.plan:
		actAsTool()
		as := plan
		if o.logJSON {
			as = planJSON
		}
		whose, note := o.planned(signals.Environ())
		log := o.newLogger()
		if note != "" {
			log.Event(&event.Event{Kind: event.Notice, Message: note})
		}
		log.flush(source)
		exit(printOut(1, as(whose.config.Plan())))
	case o.probe != "":
		actAsTool()
		exit(probe(o, source.Inherited()))
	}
	log := o.newLogger()
	if o.warnOrphans {
		o.config.Orphan = func(pid int) { log.put(orphanWarning(pid)) }
	}
	o.config.AppendFlags = o.flagz
	s, err := supervisor.New(o.config, source, log)
	if err != nil {
		o.fail(exitcode.Failure, err)
	}
	code := s.Run()
	log.flush(source)
	exit(code)
}

// exit is os.Exit, which returns if exit_group(2) fails. Then the exit code
// would become 0.
//
//go:noinline
func exit(code int) {
	for range 3 {
		os.Exit(code)
	}
}

// newLogger returns the log, and writes the first lines: variables that have no
// effect.
func (o *options) newLogger() *logger {
	log := newLogger(o.level, o.logJSON)
	for _, name := range o.unknown {
		log.Event(&event.Event{Kind: event.UnknownVariable, Reason: name, Meant: o.variableLike(name)})
	}
	return log
}

// actAsTool makes usher an ordinary program, which a signal ends and which has
// all its rights.
func actAsTool() {
	signals.Default()
	entry.Raise()
}

// printOut writes s to stdout or stderr and returns an exit code. It does not
// use os.Stdout, which dies of a broken pipe.
func printOut(fd int, s string) int {
	if !writeAll(fd, []byte(s)) {
		return exitcode.Failure
	}
	return 0
}
