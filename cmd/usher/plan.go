package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"usher/supervisor/lastword"
	"usher/supervisor/lifecycle"
)

// planJSON returns a line of JSON for each stage, for machines. A stage without
// a fixed duration has no "for".
func planJSON(stages []lifecycle.Stage) string {
	var b []byte
	for _, s := range stages {
		b = strconv.AppendFloat(append(b, `{"at":`...), s.At.Seconds(), 'f', -1, 64)
		if s.Takes >= 0 {
			b = strconv.AppendFloat(append(b, `,"for":`...), s.Takes.Seconds(), 'f', -1, 64)
		}
		b = lastword.AppendString(append(b, `,"what":`...), s.What, math.MaxInt)
		if s.Flag != "" {
			b = lastword.AppendString(append(b, `,"flag":`...), s.Flag, math.MaxInt)
		}
		b = append(b, "}\n"...)
	}
	return string(b)
}

// plan returns a table of what a stop will do, for people.
func plan(stages []lifecycle.Stage) string {
	var b strings.Builder
	row := func(at, takes, what, flag string) {
		b.WriteString(strings.TrimRight(fmt.Sprintf("%-8s %-9s %-56s %s", at, takes, what, flag), " ") + "\n")
	}
	row("at", "for", "", "")
	for _, s := range stages {
		takes := s.Takes.String()
		switch {
		case s.Takes < 0:
			takes = "its time"
		case s.Takes == 0:
			takes = ""
		}
		row(s.At.String(), takes, s.What, s.Flag)
	}
	b.WriteString("Times are the latest there can be: what ends early brings forward what follows it.\n")
	return b.String()
}
