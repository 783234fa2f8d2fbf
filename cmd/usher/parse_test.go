package main

import (
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
