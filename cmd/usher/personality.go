package main

import (
	"fmt"
	"os"
	"path"
	"strings"

	"github.com/spf13/pflag"
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
	// begin sets what needs no flag; end, which may be nil, sets what depends on
	// all of them.
	begin, end func(*mimicry)
}

// A word is a flag or a variable, and what it does.
type word struct {
	short byte   // letter of the flag; 0 for none
	name  string // name of the long flag, or of the variable
	value bool   // the flag takes a value; a variable always has one
	means func(m *mimicry, value string) error
}

// mimicry is the state of translating another init's command line to usher's
// options.
type mimicry struct {
	o  *options
	fs *pflag.FlagSet // usher's own flags; a flag beats its USHER_ variable

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
		return parseArgs(m.fs, args)
	}
	p.begin(m)
	command, errs = p.parseArgs(m, args)
	for _, v := range p.variables {
		if value, ok := lookup(environ, v.name); ok {
			if err := v.means(m, value); err != nil {
				errs = append(errs, fmt.Errorf("in %s: %w", v.name, err))
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

func (p *personality) parseArgs(m *mimicry, args []string) (command []string, errs []error) {
	for len(args) > 0 && m.o.notice.text == "" {
		arg := args[0]
		if arg == "--" {
			return args[1:], errs
		}
		if len(arg) < 2 || arg[0] != '-' {
			if p.operands && len(args) > 1 && args[1] == "--" {
				args = append([]string{arg}, args[2:]...)
			}
			return args, errs
		}
		var err error
		if strings.HasPrefix(arg, "--") {
			args, err = p.long(m, args)
		} else {
			args, err = p.cluster(m, args)
		}
		if err != nil {
			errs = append(errs, err)
		}
	}
	return nil, errs
}

// long reads --name, --name=value or --name value, and returns the words after
// it. A name may be cut short.
func (p *personality) long(m *mimicry, args []string) (rest []string, err error) {
	name, value, given := strings.Cut(args[0][2:], "=")
	rest = args[1:]
	var found *word
	for i := range p.flags {
		f := &p.flags[i]
		if name == "" || !strings.HasPrefix(f.name, name) {
			continue
		}
		if f.name == name {
			found = f
			break
		}
		if found != nil {
			return rest, fmt.Errorf("unknown flag: --%s: --%s or --%s", name, found.name, f.name)
		}
		found = f
	}
	switch {
	case found == nil:
		return rest, fmt.Errorf("unknown flag: --%s", name)
	case given && !found.value:
		return rest, fmt.Errorf("flag takes no value: --%s", name)
	case found.value && !given && len(rest) == 0:
		return rest, fmt.Errorf("flag needs an argument: --%s", name)
	case found.value && !given:
		value, rest = rest[0], rest[1:]
	}
	return rest, found.means(m, value)
}

// cluster reads -a, -ab, -aVALUE or -a VALUE, and returns the words after it.
func (p *personality) cluster(m *mimicry, args []string) (rest []string, err error) {
	letters, rest := args[0][1:], args[1:]
	for letters != "" {
		letter := letters[0]
		letters = letters[1:]
		var found *word
		for i := range p.flags {
			if p.flags[i].short == letter {
				found = &p.flags[i]
			}
		}
		value := ""
		switch {
		case found == nil:
			return rest, fmt.Errorf("unknown flag: -%c", letter)
		case !found.value:
		case letters != "":
			value, letters = letters, ""
		case len(rest) == 0:
			return rest, fmt.Errorf("flag needs an argument: -%c", letter)
		default:
			value, rest = rest[0], rest[1:]
		}
		if err := found.means(m, value); err != nil || m.o.notice.text != "" {
			return rest, err
		}
	}
	return rest, nil
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
