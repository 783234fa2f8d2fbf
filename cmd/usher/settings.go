package main

import (
	"errors"
	"fmt"
	"strconv"
	"time"
)

// setting is one of usher's own flags, with its value.
type setting struct {
	name  string
	short byte // letter of the flag; 0 for none
	// value is a *bool, *int, *string or *time.Duration that holds the default
	// until the flag is set; or a func(string) error that receives each value.
	value any
	def   string   // the default of a func, for /flagz
	given []string // the values of a func, for /flagz
	from  string   // where the value comes from: "" (default), fromFlag, or a variable
	asks  bool     // the flag asks for an action: it has no variable, and is no setting in /flagz
}

const fromFlag = "flag"

// set reads text. A malformed text leaves the value as it is.
func (s *setting) set(text, from string) (err error) {
	s.from = from
	switch value := s.value.(type) {
	case *string:
		*value = text
	case *bool:
		b, err := strconv.ParseBool(text)
		if err != nil {
			return fmt.Errorf("%q is neither true nor false", text)
		}
		*value = b
	case *int:
		n, err := strconv.ParseInt(text, 0, 0)
		if err != nil {
			return fmt.Errorf("%q is not a whole number", text)
		}
		*value = int(n)
	case *time.Duration:
		d, err := time.ParseDuration(text)
		if err != nil {
			return notDuration(text)
		}
		*value = d
	case func(string) error:
		s.given = append(s.given, text)
		return value(text)
	}
	return nil
}

func notDuration(text string) error {
	if _, err := time.ParseDuration(text + "s"); err == nil { // Kubernetes and docker stop count in seconds
		return fmt.Errorf("%q has no unit: for seconds, %ss", text, text)
	}
	return fmt.Errorf("%q is not a duration, such as 500ms, 10s, 1m30s or 1h", text)
}

// values are what /flagz shows.
func (s *setting) values() []string {
	switch value := s.value.(type) {
	case *string:
		return []string{*value}
	case *bool:
		return []string{strconv.FormatBool(*value)}
	case *int:
		return []string{strconv.Itoa(*value)}
	case *time.Duration:
		return []string{value.String()}
	}
	if s.from == "" {
		return []string{s.def}
	}
	return s.given
}

// setting returns the flag with that name, or nil.
func (o *options) setting(name string) *setting {
	for i := range o.settings {
		if s := &o.settings[i]; s.name == name {
			return s
		}
	}
	return nil
}

// set sets the flag with that name.
func (o *options) set(name, text string) error {
	s := o.setting(name)
	if s == nil {
		return errors.New("no such flag")
	}
	return s.set(text, fromFlag)
}

// given reports whether the flag with that name, or its variable, was given.
func (o *options) given(name string) bool { return o.setting(name).from != "" }

// words are usher's own flags, for the command line.
func (o *options) words() []word {
	words := make([]word, len(o.settings))
	for i, s := range o.settings {
		_, isBool := s.value.(*bool)
		words[i] = word{short: s.short, name: s.name, value: !isBool}
	}
	return words
}
