package main

import (
	"errors"
	"fmt"
	"strings"

	"usher/internal/spelling"
)

// unknown returns the error for a flag that does not exist, as it was written.
func (p *personality) unknown(m *mimicry, written string) error {
	name := strings.TrimLeft(written, "-")
	own := m.o.setting(name)
	switch {
	case own != nil && p.own:
		return errors.New("unknown flag: " + written + ": write --" + name)
	case own != nil && !own.asks:
		return errors.New("unknown flag: " + written + ": write the variable " + variable(name))
	}
	return fmt.Errorf("unknown flag: %s%s", written, spelling.DidYouMean("--", name, p.longNames()))
}

// longNames are the long names of the flags; "" for a flag that has none.
func (p *personality) longNames() (names []string) {
	for _, f := range p.flags {
		names = append(names, f.name)
	}
	return names
}

// variableLike returns the variable that a misspelt one was probably meant to
// be, or "".
func (o *options) variableLike(name string) string {
	var names []string
	for _, s := range o.settings {
		if !s.asks {
			names = append(names, strings.TrimPrefix(variable(s.name), envPrefix))
		}
	}
	if nearest := spelling.Nearest(strings.TrimPrefix(name, envPrefix), names); nearest != "" {
		return envPrefix + nearest
	}
	return ""
}

// hints returns what may help with the mistakes in err. They name the flag also
// where its value comes from a variable.
func (o *options) hints(err error, last string) (hints []string) {
	text := err.Error() + " "
	for _, s := range o.settings {
		if s.from == "" || s.from == fromFlag {
			continue
		}
		if _, after, found := strings.Cut(text, "--"+s.name); found && after[0] != '-' {
			hints = append(hints, "--"+s.name+" comes from "+s.from)
		}
	}
	return append(hints, last)
}
