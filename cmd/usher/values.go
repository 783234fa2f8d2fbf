package main

import (
	"fmt"
	"strconv"
	"strings"
)

// either returns a flag whose value is one of two words, the first by default.
// It sets isSecond to whether the value is the second.
//
//go:noinline
func either(name string, isSecond *bool, first, second string) setting {
	return setting{name: name, def: first, value: func(s string) error {
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
