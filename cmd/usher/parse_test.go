package main

import (
	"regexp"
	"slices"
	"strings"
	"testing"
)

// Whatever the command line and the environment are: no panic, the command is what stands at the end of the arguments, and the app's
// environment is what is not usher's.
func FuzzParse(f *testing.F) {
	for _, args := range []string{"--term-delay=1s\x00-r\x00TERM:QUIT\x00--\x00app\x00-v", "-gqr\x00x", "--probe\x00livez", "--install\x00/x", "-", "--=", "--term-delay", "--rewrite=\x00-h"} {
		f.Add(args, "USHER_TERM_DELAY=1s\x00PATH=/bin\x00USHER_REWRITE=TERM:QUIT\nHUP:0")
	}
	f.Fuzz(func(t *testing.T, args, env string) {
		argv, environ := strings.Split(args, "\x00"), strings.Split(env, "\x00")
		o, err := parse(nil, argv, environ)
		if n := len(argv) - len(o.config.Command); n < 0 || !slices.Equal(argv[n:], o.config.Command) {
			t.Fatalf("%q: command %q", argv, o.config.Command)
		}
		for _, entry := range o.config.Env {
			if strings.HasPrefix(entry, envPrefix) || !slices.Contains(environ, entry) {
				t.Fatalf("environment %q: the app gets %q", environ, entry)
			}
		}
		if err == nil && !o.help && !o.version && o.probeCheck == nil && o.install == "" {
			if err := o.config.Validate(); err != nil {
				t.Fatalf("%q: accepted, but %v", argv, err)
			}
		}
	})
}

// Every flag that is registered has its place in --help, and what that names is registered. docs/commands_test.go holds
// the documentation against --help.
func TestFlagsAreDocumented(t *testing.T) {
	registered := map[string]bool{}
	// parse keeps its flags to itself, but for another init's words.
	spy := &personality{begin: func(m *mimicry) {
		for _, s := range m.o.settings {
			registered[s.name] = true
		}
	}}
	if _, err := parse(spy, []string{"true"}, nil); err != nil {
		t.Fatal(err)
	}
	if len(registered) < 55 {
		t.Errorf("only %d flags: %v", len(registered), registered)
	}
	named := func(text string) map[string]bool {
		names := map[string]bool{}
		for _, m := range regexp.MustCompile(`(?:^|[^-\w])--([a-z][a-z-]*[a-z])`).FindAllStringSubmatch(text, -1) {
			names[m[1]] = true
		}
		return names
	}
	inHelp := named(help)
	// Each of these stands for the same parameter of the other two kinds of checks.
	parameter := regexp.MustCompile(`^(?:live|startup)(-initial-delay|-period|-timeout|-success-threshold|-failure-threshold)$`)
	for name := range registered {
		documented := name
		if m := parameter.FindStringSubmatch(name); m != nil {
			documented = "ready" + m[1]
		}
		if !inHelp[documented] {
			t.Errorf("--help does not have --%s", name)
		}
	}
	for name := range inHelp {
		if !registered[name] {
			t.Errorf("--help has --%s, which is no flag", name)
		}
	}
}
