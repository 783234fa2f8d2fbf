package main

import (
	"fmt"
	"os"
	"path"
	"strings"
)

// A personality is another init, for which usher stands in if it is called by
// that init's name. It is a table that translates the init's flags and
// variables to usher's. Everything else is as usual, because usher has one
// engine.
type personality struct {
	names     []string // base names of argv[0]
	flags     []word
	variables []word
	usage     string // hint after a usage error
	wrong     int    // exit code after a usage error
	// operands is set if a -- between the command and its arguments is dropped, as
	// glibc's getopt(3) does it.
	operands bool
	own      bool // usher itself: no name is cut short, and every flag may have a value
	// begin sets what needs no flag; end sets what depends on all of them. Both may
	// be nil.
	begin, end func(*mimicry)
}

// A word is a flag or a variable, and what it does.
type word struct {
	short byte   // letter of the flag; 0 for none
	name  string // name of the long flag, or of the variable
	value bool   // the flag takes a value; a variable always has one
	// means is nil for usher's own flag of that name.
	means func(m *mimicry, value string) error
}

// mimicry is the state of translating another init's command line to usher's
// options.
type mimicry struct {
	o *options

	verbosity int
	warn      bool // warn about orphans
}

// notice is a text that is printed instead of a start.
type notice struct {
	fd   int // 1 or 2
	text string
}

// personalityOf returns the personality for argv[0], or nil. login(1) puts a -
// before the name.
//
// Docker calls its init /sbin/docker-init. Podman's is /run/podman-init, which
// is catatonit unless it is configured otherwise. Older releases of both call
// it /dev/init, with nothing but -- and a command, which usher itself accepts
// as well. /init may be usher's own name.
func personalityOf(argv []string) *personality {
	if len(argv) == 0 {
		return nil
	}
	called := path.Base(strings.TrimPrefix(argv[0], "-"))
	for _, p := range []*personality{&tini, &dumbInit, &catatonit} {
		for _, name := range p.names {
			if name == called {
				return p
			}
		}
	}
	return nil
}

// parse reads flags as getopt_long(3) does, up to the first word that is no
// flag, and returns the rest. A nil personality is usher itself.
func (p *personality) parse(m *mimicry, args, environ []string) (command []string, errs []error) {
	if p == nil {
		p = &personality{flags: m.o.words(), own: true}
	}
	if p.begin != nil {
		p.begin(m)
	}
	command, errs = p.parseArgs(m, args)
	for _, v := range p.variables {
		if value, ok := lookup(environ, v.name); ok {
			if err := v.set(m, v.name, value); err != nil {
				errs = append(errs, err)
			}
		}
	}
	return command, errs
}

// finish runs after usher's own variables are read.
func (p *personality) finish(m *mimicry) {
	if p != nil && p.end != nil {
		p.end(m)
	}
}

// orphanWarning returns the line of `tini -w`, to the letter, because scripts
// look for it.
func orphanWarning(pid int) string {
	return fmt.Sprintf("[WARN  tini (%d)] Reaped zombie process with pid=%d\n", os.Getpid(), pid)
}

// lookup is getenv(3): it returns the first of two variables with the same
// name.
func lookup(environ []string, name string) (value string, ok bool) {
	for _, entry := range environ {
		if key, value, ok := strings.Cut(entry, "="); ok && key == name {
			return value, true
		}
	}
	return "", false
}
