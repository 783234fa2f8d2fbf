package main

import (
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"

	"usher/internal/manual"
)

// usher-check(1) has the flags, with their defaults, the kinds of checks and
// the exit codes that there are, and no others.
func TestManual(t *testing.T) {
	page, err := manual.Read("../../docs/man/usher-check.1")
	if err != nil {
		t.Fatal(err)
	}
	flags := map[string]*pflag.Flag{}
	new(options).flags().VisitAll(func(f *pflag.Flag) { flags[f.Name] = f })
	exits := []string{strconv.Itoa(holds), strconv.Itoa(fails), strconv.Itoa(misused)}
	kinds := map[string]bool{"notify": true} // which is none of usher-check's
	for _, item := range page.Items {
		switch {
		case item.Section == "EXIT STATUS":
			if i := slices.Index(exits, item.Word); i < 0 {
				t.Errorf("the manual has exit code %s", item.Word)
			} else {
				exits = slices.Delete(exits, i, i+1)
			}
		case len(item.Args["Fl"]) > 0:
			name := strings.TrimPrefix(item.Args["Fl"][len(item.Args["Fl"])-1], "-")
			f := flags[name]
			if f == nil {
				t.Errorf("the manual has --%s, which is no flag", name)
				continue
			}
			delete(flags, name)
			if short := strings.Join(item.Args["Fl"][:len(item.Args["Fl"])-1], " "); short != f.Shorthand {
				t.Errorf("the manual has %q as the short name of --%s", short, name)
			}
			if f.Value.Type() != "duration" {
				continue
			}
			says, _ := item.Default()
			if d, err := time.ParseDuration(says); err != nil || d.String() != f.DefValue {
				t.Errorf("the manual has %q as the default of --%s, which is %s", says, name, f.DefValue)
			}
		default:
			for _, check := range item.Args["Li"] {
				scheme, _, _ := strings.Cut(check, ":")
				kinds[scheme] = true
			}
		}
	}
	for name := range flags {
		t.Errorf("docs/man/usher-check.1 does not have --%s", name)
	}
	if len(exits) > 0 {
		t.Errorf("the manual does not have the exit codes %s", exits)
	}
	for scheme, check := range map[string]string{"http": "http://h/", "https": "https://h/", "grpc": "grpc://h:1", "grpcs": "grpcs://h:1", "tcp": "tcp://h:1", "unix": "unix:///s",
		"exec": "exec:true", "file": "file:/f", "notify": "notify:"} {
		if _, err := parse([]string{check}); err != nil {
			t.Errorf("%s: %v", check, err)
		}
		if !kinds[scheme] {
			t.Errorf("the manual does not have %s", check)
		}
		delete(kinds, scheme)
	}
	if len(kinds) > 0 {
		t.Errorf("the manual has checks that are not known here: %v", kinds)
	}
}

func TestHelpFitsATerminal(t *testing.T) {
	if lines := strings.Count(usage, "\n"); lines > 40 {
		t.Errorf("--help has %d lines", lines)
	}
	for line := range strings.Lines(usage) {
		if len(strings.TrimRight(line, "\n")) > 79 {
			t.Errorf("too long: %q", line)
		}
	}
}
