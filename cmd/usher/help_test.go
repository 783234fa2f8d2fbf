package main

import (
	"strings"
	"testing"
)

// The short help fits a screen, and both fit a terminal's 80 columns. The whole
// one leaves out no flag of the short one.
func TestHelpFitsAScreen(t *testing.T) {
	short, whole := helpText(false), helpText(true)
	if lines := strings.Count(short, "\n"); lines > 40 {
		t.Errorf("--help has %d lines", lines)
	}
	for line := range strings.Lines(short + whole) {
		if line = strings.TrimSuffix(line, "\n"); len(line) > 79 || strings.TrimRight(line, " ") != line {
			t.Errorf("too long, or with blanks at its end: %q", line)
		}
	}
	for line := range strings.Lines(short) {
		if strings.HasPrefix(line, "  ") && !strings.Contains(whole, line) {
			t.Errorf("only in the short help: %q", line)
		}
	}
	for _, says := range []string{"--term-delay is USHER_TERM_DELAY", "Examples:", "--help all", "--ready-check", "Usage:"} {
		if !strings.Contains(short, says) {
			t.Errorf("--help does not say %q", says)
		}
	}
	for line := range strings.Lines(help) {
		if !strings.ContainsAny(line[:1], "*- ") {
			t.Errorf("no help has the line %q", line)
		}
	}
}
