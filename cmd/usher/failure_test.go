package main_test

import (
	"os"
	"strings"
	"testing"
)

// What keeps usher from starting anything is in the termination log, for
// `kubectl describe`. An usher that is not the container's init, such as an exec
// probe's, leaves the log alone.
func TestMistakesLeaveAWord(t *testing.T) {
	for _, c := range []struct {
		name  string
		flags []string
		says  []string
	}{
		{"mistakes", []string{"--term-delay", "soon", "--grace-period", "-1s"}, []string{`StartError: `, `"soon"`, "--grace-period -1s", "(exit code 125)", "hint: usher --help"}},
		{"JSON", []string{"--term-delay", "soon", "--termination-format", "json"}, []string{`{"reason":"StartError","exitCode":125,"message":"`, `\"soon\"`, `"hint":"usher --help`}},
		{"no such folder", []string{"--health-addr", "unix:/no/such/folder/socket"}, []string{"StartError: ", "/no/such/folder", "(exit code 125)"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			log := newLog(t)
			if err := os.WriteFile(log, []byte("of an earlier run\n"), 0o644); err != nil {
				t.Fatal(err)
			}
			args := append(c.flags, "--termination-log", log, "--", "echo", "started")
			u := command(t, &made, args...)
			u.begin().want(125)
			word := readLog(t, log)
			for _, want := range c.says {
				if !strings.Contains(word, want) {
					t.Errorf("no %q in %q", want, word)
				}
			}
			if strings.Contains(word, "earlier") || u.stdout.String() != "" {
				t.Errorf("%q, %q", word, &u.stdout)
			}
			if err := os.WriteFile(log, []byte("of the container's init\n"), 0o644); err != nil {
				t.Fatal(err)
			}
			commandHere(t, &made, args...).begin().want(125)
			if word := readLog(t, log); word != "of the container's init\n" {
				t.Errorf("written by one that is not PID 1: %q", word)
			}
		})
	}
}
