package main

import (
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"usher/signals"
	"usher/supervisor/event"
)

// The versions that have these flags and variables.
const (
	tiniVersion      = "tini version 0.19.0"
	dumbInitVersion  = "dumb-init v1.2.5"
	catatonitVersion = "tini version 0.1.7_catatonit" // `docker info` looks for tini
)

const license = "usher is licensed under the Apache License 2.0: https://www.apache.org/licenses/LICENSE-2.0\n"

const tiniUsage = `usage: tini [-s] [-p SIGNAL] [-v] [-w] [-g] [-e CODE] [--] command [args...]
       tini -h | -l | --version

This is usher, called as tini.
  -p SIGNAL  get SIGNAL when the parent dies, and forward it
  -g         send signals to the command's process group (TINI_KILL_PROCESS_GROUP)
  -e CODE    end with 0 instead of CODE (repeatable)
  -w         warn about each zombie that is reaped
  -v         say more (repeatable; TINI_VERBOSITY)
  -s         be a subreaper: usher always is (TINI_SUBREAPER)
  -l         show the licence
`

// tini is krallin/tini, which Docker installs as docker-init.
var tini = personality{
	names:    []string{"tini", "tini-static", "docker-init"},
	usage:    "tini -h lists the flags",
	wrong:    1,
	operands: true, // tini's usage says PROGRAM -- [ARGS]
	flags: []word{
		{short: 's', means: nothing},
		{short: 'p', value: true, means: same("parent-death-signal")},
		{short: 'v', means: func(m *mimicry, _ string) error { m.verbosity++; return nil }},
		{short: 'w', means: func(m *mimicry, _ string) error { m.warn = true; return nil }},
		{short: 'g', means: is("process-group")},
		{short: 'e', value: true, means: succeedWith},
		{short: 'l', means: says(1, license)},
		{short: 'h', means: says(1, tiniUsage)},
		{name: "version", means: says(1, tiniVersion)},
	},
	variables: []word{
		{name: "TINI_SUBREAPER", means: nothing},
		{name: "TINI_KILL_PROCESS_GROUP", means: is("process-group")},
		{name: "TINI_VERBOSITY", means: func(m *mimicry, value string) error {
			m.verbosity, _ = strconv.Atoi(value)
			return nil
		}},
	},
	begin: func(m *mimicry) { m.o.level, m.verbosity = event.Error, 1 },
	// tini's levels are fatal, warnings, information and debugging. Of usher's
	// lines, only this one is a mere warning.
	end: func(m *mimicry) {
		m.o.warnOrphans = m.warn && m.verbosity > 0
		if m.verbosity > 1 {
			m.o.level = max(m.o.level, event.Info)
		}
		if m.verbosity > 2 {
			m.o.level = event.Debug
		}
	},
}

const dumbInitUsage = `usage: dumb-init [-c] [-r FROM:TO] [-v] [--] command [args...]
       dumb-init -h | -V

This is usher, called as dumb-init.
  -c, --single-child     no session of its own for the command, and signals for it alone (DUMB_INIT_SETSID=0)
  -r, --rewrite FROM:TO  send the command TO instead of FROM; TO = 0 swallows it (repeatable)
  -v, --verbose          log everything (DUMB_INIT_DEBUG=1)
  -V, --version
  -h, --help
`

// dumbInit is Yelp/dumb-init: its command leads a session, and gets its signals
// as a group.
var dumbInit = personality{
	names: []string{"dumb-init"},
	usage: "dumb-init --help lists the flags",
	wrong: 1,
	flags: []word{
		{short: 'c', name: "single-child", means: singleChild},
		{short: 'r', name: "rewrite", value: true, means: rewriteAgain},
		{short: 'v', name: "verbose", means: is("verbose")},
		{short: 'V', name: "version", means: says(2, dumbInitVersion)},
		{short: 'h', name: "help", means: says(2, dumbInitUsage)},
	},
	variables: []word{
		{name: "DUMB_INIT_SETSID", means: func(m *mimicry, value string) error {
			if value != "0" {
				return nil
			}
			return singleChild(m, "")
		}},
		{name: "DUMB_INIT_DEBUG", means: func(m *mimicry, value string) error {
			if value != "1" {
				return nil
			}
			return m.o.set("verbose", "true")
		}},
	},
	begin: func(m *mimicry) {
		c := &m.o.config
		m.o.level = event.Error
		c.Session, c.ProcessGroup, c.StopSelf, c.StartCode, c.LeaveDirectory = true, true, true, 2, true
	},
	// A session has no parent group that would wake a process that SIGTSTP stops,
	// and the kernel ignores that signal for an orphaned group. It obeys SIGSTOP.
	end: func(m *mimicry) {
		for _, sig := range []signals.Signal{unix.SIGTSTP, unix.SIGTTIN, unix.SIGTTOU} {
			if _, ok := m.o.config.Rewrites[sig]; !ok && m.o.config.Session {
				m.o.config.Rewrites[sig] = unix.SIGSTOP
			}
		}
	},
}

const catatonitUsage = `usage: catatonit [-g] [--] command [args...]
       catatonit -P | -h | -L | -V

This is usher, called as catatonit.
  -g             send signals to the command's process group
  -P             pause: start nothing, reap zombies, end with SIGINT or SIGTERM
  -V, --version
  -h             show this
  -L             show the licence
`

// catatonit is openSUSE/catatonit. Podman uses it as the init of containers,
// and as the process that holds a pod's namespaces.
var catatonit = personality{
	names:    []string{"catatonit", "podman-init"},
	usage:    "catatonit -h lists the flags",
	wrong:    1,
	operands: true,
	flags: []word{
		{short: 'g', means: is("process-group")},
		{short: 'P', means: func(m *mimicry, _ string) error { m.o.config.Pause = true; return nil }},
		{short: 'h', means: says(2, catatonitUsage)},
		{short: 'L', means: says(1, license)},
		{short: 'V', name: "version", means: says(1, catatonitVersion)},
	},
	variables: []word{{name: "CATATONIT_DEBUG", means: is("verbose")}},
	begin:     func(m *mimicry) { m.o.level, m.o.config.StartCode, m.o.config.LeaveDirectory = event.Error, 1, true },
}

// Actions of words.

func nothing(*mimicry, string) error { return nil }

// same sets usher's own flag to the value of the word.
//
//go:noinline
func same(flag string) func(*mimicry, string) error {
	return func(m *mimicry, value string) error { return m.o.set(flag, value) }
}

// is sets one of usher's flags.
//
//go:noinline
func is(flag string) func(*mimicry, string) error {
	return func(m *mimicry, _ string) error { return m.o.set(flag, "true") }
}

// says prints a text instead of a start. A version gets usher's own version at
// its end. Inlining these three functions would make usher larger.
//
//go:noinline
func says(fd int, text string) func(*mimicry, string) error {
	return func(m *mimicry, _ string) error {
		if !strings.HasSuffix(text, "\n") {
			text += " (usher " + version + ")\n"
		}
		m.o.notice = notice{fd, text}
		return nil
	}
}

// succeedWith is `tini -e CODE`: CODE becomes 0.
func succeedWith(m *mimicry, value string) error {
	code, err := strconv.ParseUint(value, 10, 8)
	if err != nil {
		return fmt.Errorf("%q: want an exit code from 0 to 255", value)
	}
	if _, twice := m.o.config.ExitCodes[int(code)]; twice {
		return nil
	}
	return m.o.set("exit-code", value+"=0")
}

// rewriteAgain is `dumb-init -r`. Of two rewrites of one signal, the last one
// counts. It accepts numbers up to 31 only. Rewriting a signal that no process
// can catch has no effect.
func rewriteAgain(m *mimicry, value string) error {
	from, to, _ := strings.Cut(value, ":")
	n, _ := strconv.Atoi(from)
	if m, _ := strconv.Atoi(to); max(m, n) > 31 {
		return fmt.Errorf("%q: want signals from 1 to 31", value)
	}
	switch sig, _ := signals.Parse(from); sig {
	case unix.SIGCHLD, unix.SIGKILL, unix.SIGSTOP:
		return signals.Rewrites{}.Parse("HUP:" + to)
	default:
		delete(m.o.config.Rewrites, sig)
	}
	return m.o.set("rewrite", value)
}

func singleChild(m *mimicry, _ string) error {
	m.o.config.Session = false
	return m.o.set("process-group", "false")
}
