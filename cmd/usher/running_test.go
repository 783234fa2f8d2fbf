package main_test

import (
	"os"
	"strings"
	"testing"
)

// In a container, --plan alone shows the plan of the usher that runs there, by
// its flags and its variables, and says so. Docker's exec and a shell of the
// app are such processes.
func TestPlanOfRunningUsher(t *testing.T) {
	for _, c := range []struct {
		name, plan  string
		flags, env  []string
		says, shows []string
	}{
		{name: "flags", plan: "--plan", flags: []string{"--term-delay", "7s", "--rewrite", "TERM:QUIT"},
			says: []string{"this is the plan of the running usher, pid 1\n"}, shows: []string{" 7s ", "SIGTERM as SIGQUIT"}},
		{name: "variables", plan: "--plan --log-format json", env: []string{"USHER_TERM_DELAY=9s"},
			says: []string{"this is the plan of the running usher, pid 1"}, shows: []string{`"for":9,`}},
		{name: "flags of its own", plan: "--plan --term-delay 3s", flags: []string{"--term-delay", "7s"}, shows: []string{" 3s "}},
		{name: "command of its own", plan: "--plan -- app", flags: []string{"--term-delay", "7s"}, shows: []string{"the app gets the stop signal"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			u := command(t, &made, append(c.flags, "--pre-start", "mount -t proc proc /proc", "--", "sh", "-c", made.path+" "+c.plan)...)
			u.cmd.Env = append(u.cmd.Env, c.env...)
			u.begin().want(0)
			for _, want := range c.shows {
				if !strings.Contains(u.stdout.String(), want) {
					t.Errorf("%q is not in\n%s", want, &u.stdout)
				}
			}
			if got := u.stderr.String(); (len(c.says) == 0) != (got == "") {
				t.Errorf("stderr: %s", got)
			}
			for _, want := range c.says {
				if !strings.Contains(u.stderr.String(), want) {
					t.Errorf("%q is not in\n%s", want, &u.stderr)
				}
			}
		})
	}
}

// Where PID 1 is another program, as where the containers of a pod share their
// processes, the usher of the same cgroup is found. Where there is none, --plan
// says that it knows the variables alone. Another user's environment cannot be
// read.
func TestPlanWithoutRunningUsher(t *testing.T) {
	for _, c := range []struct{ name, script, says, shows string }{
		{"shared", "$USHER --term-delay 7s -- sleep 60 & while ! $USHER --plan | grep -q ' 7s '; do sleep 0.05; done; $USHER --plan; kill $!", "the running usher, pid ", " 7s "},
		{"none", "$USHER --plan", "no usher runs here", "the app gets the stop signal"},
		{"only others that ask", "$USHER --probe exec:'sleep 60' --ready-timeout 60s & $USHER --plan; kill $!", "of the variables alone", "the app gets the stop signal"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			u := command(t, &made)
			u.cmd.Path, u.cmd.Args = "/bin/sh", []string{"sh", "-c", "mount -t proc proc /proc; " + strings.ReplaceAll(c.script, "$USHER", made.path)}
			u.begin().want(0)
			if !strings.Contains(u.stderr.String(), c.says) || !strings.Contains(u.stdout.String(), c.shows) {
				t.Errorf("%s\n%s", &u.stdout, &u.stderr)
			}
		})
	}
	t.Run("another user", func(t *testing.T) {
		if os.Getuid() != 0 {
			t.Skip("needs root")
		}
		t.Parallel()
		u := command(t, &made, "--term-delay", "7s", "--", "sh", "-c", "mount -t proc proc /proc; setpriv --reuid=65534 --clear-groups "+made.path+" --plan")
		u.begin().want(0)
		if !strings.Contains(u.stderr.String(), "its variables can't be read") || !strings.Contains(u.stdout.String(), " 7s ") {
			t.Errorf("%s\n%s", &u.stdout, &u.stderr)
		}
	})
}
