package main

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/pflag"
)

// either returns a flag whose value is one of two words, the first by default. It
// reports whether the value is the second.
//
//go:noinline
func either(isSecond *bool, first, second string) *list {
	return &list{def: first, add: func(s string) error {
		if s != first && s != second {
			return fmt.Errorf("%q: want %s or %s", s, first, second)
		}
		*isSecond = s == second
		return nil
	}}
}

// parseExitCode adds FROM=TO to codes. Both are from 0 to 255.
func parseExitCode(codes map[int]int, s string) error {
	fromText, toText, ok := strings.Cut(s, "=")
	if !ok {
		return fmt.Errorf("exit code %q: want FROM=TO, such as 143=0", s)
	}
	from, err := strconv.ParseUint(fromText, 10, 8)
	if err != nil {
		return fmt.Errorf("exit code %q: %q is not between 0 and 255", s, fromText)
	}
	to, err := strconv.ParseUint(toText, 10, 8)
	if err != nil {
		return fmt.Errorf("exit code %q: %q is not between 0 and 255", s, toText)
	}
	if _, twice := codes[int(from)]; twice {
		return fmt.Errorf("exit code %q: %d is mapped already", s, from)
	}
	codes[int(from)] = int(to)
	return nil
}

// restore resets a flag to its default after a malformed value: pflag leaves a
// zero, which would be judged as if it had been asked for.
func restore(fs *pflag.FlagSet, err error) {
	if invalid, ok := err.(*pflag.InvalidValueError); ok && invalid.GetFlag().Value.Type() != "list" {
		_ = fs.Set(invalid.GetFlag().Name, invalid.GetFlag().DefValue)
	}
}

// withUnit adds a hint to the error for a duration that is a bare number, which
// Kubernetes and docker stop use.
func withUnit(err error) error {
	if invalid, ok := err.(*pflag.InvalidValueError); ok && strings.Contains(err.Error(), "missing unit") {
		return fmt.Errorf("%w: for seconds, %ss", err, invalid.GetValue())
	}
	return err
}
