package main

import (
	"errors"
	"fmt"
	"strings"

	"usher/internal/spelling"
)

// parseArgs reads flags as getopt_long(3) does, up to the first word that is no
// flag, and returns the rest.
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
// it. Another init's name may be cut short.
func (p *personality) long(m *mimicry, args []string) (rest []string, err error) {
	name, value, given := strings.Cut(args[0][2:], "=")
	rest = args[1:]
	var found *word
	for i := range p.flags {
		f := &p.flags[i]
		if f.name == name {
			found = f
			break
		}
		if p.own || !strings.HasPrefix(f.name, name) {
			continue
		}
		if found != nil {
			return rest, fmt.Errorf("unknown flag: --%s: --%s or --%s", name, found.name, f.name)
		}
		found = f
	}
	switch {
	case found == nil || name == "":
		return rest, p.unknown(m, "--"+name)
	case given && !found.value && !p.own:
		return rest, fmt.Errorf("flag takes no value: --%s", name)
	case !given && !found.value:
		value = "true"
	case !given && p.lacksValue(rest):
		return rest, fmt.Errorf("flag needs a value: --%s", name)
	case !given:
		value, rest = rest[0], rest[1:]
	}
	return rest, found.set(m, "--"+name, value)
}

// cluster reads -a, -ab, -aVALUE or -a VALUE, and returns the words after it.
// Usher's own flags may also be -a=VALUE.
func (p *personality) cluster(m *mimicry, args []string) (rest []string, err error) {
	letters, rest := args[0][1:], args[1:]
	name, _, _ := strings.Cut(letters, "=")
	if p.own && len(name) > 1 && m.o.setting(name) != nil {
		return rest, p.unknown(m, "-"+name)
	}
	for letters != "" {
		letter := letters[0]
		letters = letters[1:]
		var found *word
		for i := range p.flags {
			if p.flags[i].short == letter {
				found = &p.flags[i]
			}
		}
		value := "true"
		switch {
		case found == nil || letter == 0:
			if !p.own || spelling.Nearest(name, p.longNames()) == "" {
				name = string(letter)
			}
			return rest, p.unknown(m, "-"+name)
		case p.own && strings.HasPrefix(letters, "="):
			value, letters = letters[1:], ""
		case !found.value:
		case letters != "":
			value, letters = letters, ""
		case p.lacksValue(rest):
			return rest, fmt.Errorf("flag needs a value: -%c", letter)
		default:
			value, rest = rest[0], rest[1:]
		}
		if err := found.set(m, "-"+string(letter), value); err != nil || m.o.notice.text != "" {
			return rest, err
		}
	}
	return rest, nil
}

// lacksValue reports whether no value follows a flag that needs one. None of
// usher's own flags has the value --.
func (p *personality) lacksValue(rest []string) bool {
	return len(rest) == 0 || p.own && rest[0] == "--"
}

// set does what the flag or variable means. The error begins with its name.
func (w *word) set(m *mimicry, written, value string) (err error) {
	if w.means != nil {
		err = w.means(m, value)
	} else {
		err = m.o.set(w.name, value)
	}
	if err != nil {
		return errors.New(written + ": " + err.Error())
	}
	return nil
}
