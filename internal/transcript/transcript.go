// Package transcript runs the commands that documentation shows, and compares
// what they print with what it shows. Only tests use it.
package transcript

import (
	"fmt"
	"regexp"
	"strings"
)

// Step is a command of a page, and the output that the page shows for it.
type Step struct {
	Line    int // number of the command's first line in the page
	Command string
	Output  []string // lines; a page that shows none says nothing about them
}

// Parse returns the steps in a page's console blocks:
//
//	```console
//	$ echo a \
//	    b
//	a b
//	```
func Parse(page string) []Step {
	var steps []Step
	inBlock := false
	for i, line := range strings.Split(page, "\n") {
		command, isCommand := strings.CutPrefix(line, "$ ")
		last := len(steps) - 1
		switch {
		case !inBlock:
			inBlock = line == "```console"
		case line == "```":
			inBlock = false
		case isCommand:
			steps = append(steps, Step{Line: i + 1, Command: command})
		case last >= 0 && len(steps[last].Output) == 0 && strings.HasSuffix(steps[last].Command, `\`):
			steps[last].Command += "\n" + line
		case last >= 0:
			steps[last].Output = append(steps[last].Output, line)
		}
	}
	return steps
}

// varying is what differs from run to run: times and sizes.
var varying = regexp.MustCompile(`\b(\d+(\.\d+)?(h|m|s|ms|µs|[KMG]i))+\b`)

// Compare returns an error if got differs from the output that the page shows.
// In the page, "…" at the end of a line stands for any text. Each time and
// each size equals every other.
func (s Step) Compare(got string) error {
	lines := strings.Split(strings.TrimSuffix(got, "\n"), "\n")
	if got == "" {
		lines = nil
	}
	for i, want := range s.Output {
		if i >= len(lines) {
			return fmt.Errorf("no line %q", want)
		}
		want, more := strings.CutSuffix(want, "…")
		want = varying.ReplaceAllString(want, "0s")
		line := varying.ReplaceAllString(lines[i], "0s")
		if line != want && !(more && strings.HasPrefix(line, want)) {
			return fmt.Errorf("%q instead of %q", lines[i], s.Output[i])
		}
	}
	if len(s.Output) > 0 && len(lines) > len(s.Output) {
		return fmt.Errorf("%q is not in the page", lines[len(s.Output)])
	}
	return nil
}
