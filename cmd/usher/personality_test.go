package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"usher/signals"
	"usher/supervisor/event"
)

func TestPersonalityOf(t *testing.T) {
	for name, want := range map[string]*personality{
		"tini": &tini, "/tini": &tini, "/usr/bin/tini-static": &tini, "/sbin/docker-init": &tini, "-tini": &tini, "-/bin/tini": &tini, "./tini": &tini,
		"dumb-init": &dumbInit, "/usr/local/bin/dumb-init": &dumbInit, "-dumb-init": &dumbInit,
		"catatonit": &catatonit, "/usr/libexec/podman/catatonit": &catatonit, "/run/podman-init": &catatonit,
		"usher": nil, "/usher": nil, "/init": nil, "/dev/init": nil, "": nil, "-": nil, "/": nil, "tini/usher": nil, "tini2": nil, "TINI": nil, "--tini": nil,
	} {
		if got := personalityOf([]string{name, "tini"}); got != want {
			t.Errorf("%q: %v, want %v", name, got, want)
		}
	}
	if personalityOf(nil) != nil {
		t.Error("no argv[0] at all is somebody")
	}
}

// described is what the options are that a personality can set, but for what is so by default.
func described(o options) string {
	c := &o.config
	var parts []string
	add := func(condition bool, text string) {
		if condition {
			parts = append(parts, text)
		}
	}
	add(c.ProcessGroup, "group")
	add(c.Session, "session")
	add(c.StopSelf, "stopself")
	add(c.Pause, "pause")
	add(c.StartCode != 0, fmt.Sprintf("start=%d", c.StartCode))
	add(c.ParentDeathSignal != 0, "parent="+signals.Name(c.ParentDeathSignal))
	for _, from := range slices.Sorted(maps.Keys(c.Rewrites)) {
		parts = append(parts, fmt.Sprintf("%d:%d", from, c.Rewrites[from]))
	}
	for _, from := range slices.Sorted(maps.Keys(c.ExitCodes)) {
		parts = append(parts, fmt.Sprintf("%d=%d", from, c.ExitCodes[from]))
	}
	add(o.warnOrphans, "warn")
	parts = append(parts, []string{event.Error: "quiet", event.Info: "normal", event.Debug: "verbose"}[o.level])
	return strings.Join(append(parts, c.Command...), " ")
}

func TestPersonalities(t *testing.T) {
	const session = "group session stopself start=2 20:19 21:19 22:19 "
	const alone = "stopself start=2 "
	for _, c := range []struct {
		as        *personality
		args, env string
		want      string
	}{
		{&tini, "app -g", "", "quiet app -g"},
		{&tini, "-- -app", "", "quiet -app"},
		{&tini, "- app", "", "quiet - app"},
		{&tini, "app -- -g", "", "quiet app -g"},
		{&tini, "app a -- -g", "", "quiet app a -- -g"},
		{&tini, "-g -s app", "", "group quiet app"},
		{&tini, "-p SIGKILL -e 143 -e 0 app", "", "parent=SIGKILL 0=0 143=0 quiet app"},
		{&tini, "-v app", "", "normal app"},
		{&tini, "-vv app", "", "verbose app"},
		{&tini, "-w app", "", "warn quiet app"},
		{&tini, "-w app", "TINI_VERBOSITY=0", "quiet app"},
		{&tini, "-vvv app", "TINI_VERBOSITY=1", "quiet app"},
		{&tini, "app", "TINI_VERBOSITY=3", "verbose app"},
		{&tini, "app", "TINI_SUBREAPER= TINI_KILL_PROCESS_GROUP=", "group quiet app"},
		{&tini, "app", "USHER_PROCESS_GROUP=true USHER_REWRITE=TERM:QUIT", "group 15:3 quiet app"},
		{&tini, "app", "USHER_VERBOSE=true", "verbose app"},
		{&tini, "-p SIGINT app", "USHER_PARENT_DEATH_SIGNAL=TERM", "parent=SIGINT quiet app"},
		{&dumbInit, "app -c", "", session + "quiet app -c"},
		{&dumbInit, "app -- -c", "", session + "quiet app -- -c"},
		{&dumbInit, "-c app", "", alone + "quiet app"},
		{&dumbInit, "--single app", "", alone + "quiet app"},
		{&dumbInit, "-c app", "USHER_PROCESS_GROUP=true", alone + "quiet app"},
		{&dumbInit, "app", "USHER_PROCESS_GROUP=false", "session " + strings.TrimPrefix(session, "group session ") + "quiet app"},
		{&dumbInit, "app", "DUMB_INIT_SETSID=0", alone + "quiet app"},
		{&dumbInit, "app", "DUMB_INIT_SETSID=", session + "quiet app"},
		{&dumbInit, "-v app", "", session + "verbose app"},
		{&dumbInit, "app", "DUMB_INIT_DEBUG=1", session + "verbose app"},
		{&dumbInit, "app", "DUMB_INIT_DEBUG=true", session + "quiet app"},
		{&dumbInit, "-r 15:3 --rewrite 15:2 --rewrite=1:0 app", "", "group session stopself start=2 1:0 15:2 20:19 21:19 22:19 quiet app"},
		{&dumbInit, "-r20:0 app", "USHER_REWRITE=TTIN:HUP", "group session stopself start=2 20:0 21:19 22:19 quiet app"},
		{&dumbInit, "app", "USHER_REWRITE=TTIN:HUP", "group session stopself start=2 20:19 21:1 22:19 quiet app"},
		{&dumbInit, "-cr 20:2 app", "", alone + "20:2 quiet app"},
		{&catatonit, "app", "", "start=1 quiet app"},
		{&catatonit, "-g -- app -P", "", "group start=1 quiet app -P"},
		{&catatonit, "-P", "", "pause start=1 quiet"},
		{&catatonit, "app", "CATATONIT_DEBUG=", "start=1 verbose app"},
	} {
		o, err := parse(c.as, strings.Fields(c.args), append(strings.Fields(c.env), "KEPT=1"))
		if err != nil {
			t.Errorf("%s %s %s: %v", c.as.names[0], c.args, c.env, err)
		} else if got := described(o); got != c.want {
			t.Errorf("%s %s %s:\n%s, want\n%s", c.as.names[0], c.args, c.env, got, c.want)
		}
		for _, entry := range append(strings.Fields(c.env), "KEPT=1") {
			if slices.Contains(o.config.Env, entry) == strings.HasPrefix(entry, envPrefix) {
				t.Errorf("%s %s %s: the app has %q", c.as.names[0], c.args, c.env, o.config.Env)
			}
		}
	}
}

// Every mistake is reported, as ever, and a personality takes none of usher's own flags.
func TestPersonalityMistakes(t *testing.T) {
	for _, c := range []struct {
		as   *personality
		args string
		want []string
	}{
		{&tini, "-Z -e 256 -p FOO", []string{"unknown flag: -Z", `-e: "256"`, `"FOO"`, "no command given"}},
		{&tini, "--term-delay=1s app", []string{"unknown flag: --term-delay"}},
		{&tini, "-p", []string{"flag needs a value: -p", "no command given"}},
		{&dumbInit, "--rewrite", []string{"flag needs a value: --rewrite", "no command given"}},
		{&dumbInit, "--ver app", []string{"--verbose or --version"}},
		{&dumbInit, "--verbose=1 app", []string{"flag takes no value: --verbose"}},
		{&catatonit, "--=x app", []string{"unknown flag: --"}},
	} {
		_, err := parse(c.as, strings.Fields(c.args), nil)
		if err == nil {
			t.Errorf("%s %s: no error", c.as.names[0], c.args)
			continue
		}
		for _, want := range c.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s %s: %v, want %q in it", c.as.names[0], c.args, err, want)
			}
		}
	}
}

// What usher can do it also does under another name, by its variables.
func TestPersonalityWithUsherSettings(t *testing.T) {
	o, err := parse(&tini, []string{"--", "app"}, []string{"USHER_TERM_DELAY=10s", "USHER_HEALTH_ADDR=:8086", "USHER_STRAGGLER_GRACE=5s"})
	if err != nil {
		t.Fatal(err)
	}
	if c := o.config; c.TermDelay != 10*time.Second || len(c.HealthAddrs) != 1 || c.HealthAddrs[0] != ":8086" || c.StragglerGrace != 5*time.Second || len(c.Env) != 0 {
		t.Errorf("%+v", c)
	}
	if o, err = parse(&tini, []string{"app"}, nil); err != nil || o.config.TermDelay != 0 {
		t.Errorf("held back for %v, %v, without having been asked", o.config.TermDelay, err)
	}
}

// moby reads the version that `docker info` shows from the first line (daemon/info_unix.go, parseInitVersion).
func TestVersionForDocker(t *testing.T) {
	for _, p := range []*personality{&tini, &catatonit} {
		o, err := parse(p, []string{"--version"}, nil)
		if err != nil {
			t.Fatal(err)
		}
		version, ok := strings.CutPrefix(o.notice.text, "tini version ")
		if !ok || o.notice.fd != 1 || strings.Contains(version, " - ") || strings.Count(version, "\n") != 1 {
			t.Errorf("%s: %q on %d", p.names[0], o.notice.text, o.notice.fd)
		}
	}
}

// No personality may have two for one, since only one of them would be found.
func TestPersonalityTables(t *testing.T) {
	names := map[string]bool{}
	for _, p := range []*personality{&tini, &dumbInit, &catatonit} {
		for _, name := range p.names {
			if names[name] {
				t.Errorf("%s is two", name)
			}
			names[name] = true
		}
		words := map[string]bool{}
		for _, f := range p.flags {
			for _, w := range []string{string(rune(f.short)), "--" + f.name} {
				if w == "\x00" || w == "--" {
					continue
				}
				if words[w] {
					t.Errorf("%s: %q is there twice", p.names[0], w)
				}
				words[w] = true
			}
		}
	}
}

func FuzzPersonality(f *testing.F) {
	f.Add("-sgvp\x00SIGTERM\x00-e143\x00--\x00app", uint8(0))
	f.Add("--rewr=15:3\x00-c\x00app\x00--\x00-x", uint8(1))
	f.Add("--\x00--\x00--=\x00-", uint8(2))
	f.Fuzz(func(t *testing.T, args string, which uint8) {
		p := []*personality{&tini, &dumbInit, &catatonit}[which%3]
		argv := strings.Split(args, "\x00")
		o, err := parse(p, argv, nil)
		if n := len(o.config.Command); n > len(argv) || err == nil && n == 0 && o.notice.text == "" && !o.config.Pause {
			t.Fatalf("%q: command %q", argv, o.config.Command)
		}
	})
}
