package main_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestLastWord(t *testing.T) {
	eachBuild(t, func(t *testing.T, b *build) {
		for _, c := range []struct {
			script string
			code   int
			word   string
		}{
			{"exit 0", 0, "Completed: exit code 0; uptime "},
			{"exit 3", 3, "Error: exit code 3; uptime "},
			{"kill -KILL $$", 137, "Signaled: killed by SIGKILL (exit code 137); uptime "},
			// Another signal than the one that the stop is about, by way of usher.
			{"mount -t proc proc /proc; bash -c 'kill -USR1 1; while :; do sleep 0.01; done' & exec sleep inf", 138, "Signaled: killed by SIGUSR1 from " + map[bool]string{true: "bash (pid ", false: "an unknown sender"}[b.complete]},
		} {
			log := newLog(t)
			u := start(t, b, "--termination-log", log, "--", "bash", "-c", c.script)
			u.want(c.code)
			if word := readLog(t, log); !strings.HasPrefix(word, c.word) || strings.Count(word, "\n") != 1 {
				t.Errorf("%s: %q", c.script, word)
			}
		}
	})
}

// The same in JSON, from the first write to the last; the log is JSON as well, also what a start has to say.
func TestJSON(t *testing.T) {
	eachBuild(t, func(t *testing.T, b *build) {
		log := newLog(t)
		u := start(t, b, "-v", "--log-format", "json", "--termination-format", "json", "--term-delay", "300ms", "--termination-log", log, "--", "bash", "-c",
			`trap 'until grep -q sent `+log+`; do sleep 0.01; done; printf "disk \"full\"\n" > `+log+`; exit 3' TERM; echo ready; while :; do sleep 0.01; done`)
		u.printed("ready\n")
		u.signal(unix.SIGTERM)
		var word struct {
			Reason, Phase, AppMessage string
			EndedFromOutside          bool
			ExitCode                  *int
			UptimeSeconds             float64
			PeakMemoryBytes           uint64
			Stop                      struct {
				Signal, Sender, Sent     string
				HoldSeconds, HeldSeconds float64
			}
		}
		eventually(t, func() error {
			if err := json.Unmarshal([]byte(readLog(t, log)), &word); err != nil {
				return err
			}
			if word.Reason != "StopTimeout" || !word.EndedFromOutside || word.ExitCode != nil || word.Phase != "holding" || word.Stop.HoldSeconds != 0.3 {
				return fmt.Errorf("during the hold: %+v", word)
			}
			return nil
		})
		u.want(3)
		word.EndedFromOutside = false
		if err := json.Unmarshal([]byte(readLog(t, log)), &word); err != nil {
			t.Fatal(err)
		}
		if word.Reason != "Error" || word.EndedFromOutside || *word.ExitCode != 3 || word.Phase != "stopping" || word.AppMessage != "disk \"full\"\n" ||
			word.Stop.Signal != "SIGTERM" || word.Stop.Sent != "SIGTERM" || word.Stop.HeldSeconds < 0.3 || word.UptimeSeconds < 0.3 || word.PeakMemoryBytes == 0 {
			t.Errorf("at the end: %+v", word)
		}
		missing := start(t, b, "--log-format", "json", "--", "/no/such/\"file\"")
		missing.want(127)
		for _, out := range []string{u.stderr.String(), missing.stderr.String()} {
			lines := strings.Split(strings.TrimSuffix(out, "\n"), "\n")
			for _, line := range lines {
				var l struct {
					Time       time.Time
					Level, Msg string
				}
				if err := json.Unmarshal([]byte(line), &l); err != nil || l.Msg == "" || time.Since(l.Time).Abs() > time.Hour || !slices.Contains([]string{"error", "info", "debug"}, l.Level) {
					t.Errorf("log: %v: %s", err, line)
				}
			}
			if !strings.Contains(out, `"msg":"SIGTERM from `) && !strings.Contains(out, `"event":"start-failed","exitCode":127,"msg":"cannot start \"/no/such/\\\"file\\\"\": `) {
				t.Errorf("log: %s", out)
			}
		}
	})
}

func TestNoSuchFormat(t *testing.T) {
	u := start(t, &made, "--log-format", "xml", "--termination-format=", "--", "echo", "started")
	u.want(125)
	if out := u.stderr.String(); strings.Count(out, "\n") != 3 || !strings.Contains(out, `"xml": want text or json`) || !strings.Contains(out, `"": want text or json`) || u.stdout.String() != "" {
		t.Errorf("it says %q", out)
	}
}

// What the app has written there itself stays, behind usher's line, in whatever way it writes.
func TestTheAppsOwnMessage(t *testing.T) {
	for _, how := range []string{">", ">>"} {
		log := newLog(t)
		u := start(t, &made, "--term-delay", "200ms", "--termination-log", log, "--", "sh", "-c",
			`trap 'exit 1' TERM; trap 'echo "disk is full" `+how+log+`; echo written' USR1; echo ready; while :; do sleep 0.01; done`)
		u.printed("ready\n")
		u.signal(unix.SIGTERM)
		u.logged("held back")
		u.signal(unix.SIGUSR1)
		u.printed("written\n")
		u.want(1)
		lines := strings.SplitAfter(readLog(t, log), "\n")
		if len(lines) != 3 || !strings.HasPrefix(lines[0], "Error: exit code 1; ") || lines[1] != "disk is full\n" {
			t.Errorf("%s: %q", how, lines)
		}
	}
}

// The same at the moment when usher writes as well: when the app has been told to stop.
func TestTheAppsOwnMessageAtTheStop(t *testing.T) {
	const app = `$SIG{TERM} = sub { select undef, undef, undef, $ARGV[1] / 1e6 if $ARGV[1]; open F, ">>", $ARGV[0]; syswrite F, "disk is full\n"; exit 1 };
		kill "TERM", getppid; select undef, undef, undef, 1 while 1`
	for i := range 100 {
		log := newLog(t)
		u := start(t, &made, "-q", "--termination-log", log, "--", "perl", "-e", app, log, fmt.Sprint(i%4*20))
		u.want(1)
		if word := readLog(t, log); !strings.HasPrefix(word, "Error: exit code 1; ") || strings.Count(word, "\n") != 2 || !strings.HasSuffix(word, "\ndisk is full\n") {
			t.Errorf("%q", word)
		}
	}
}

// The same file for one run after the other, as Docker mounts it: each says its own.
func TestTheSameFileAgain(t *testing.T) {
	log := newLog(t)
	for range 3 {
		u := start(t, &made, "--termination-log", log, "--", "sh", "-c", "echo own >> "+log+"; exit 3")
		u.want(3)
		if word := readLog(t, log); !strings.HasPrefix(word, "Error: ") || strings.Count(word, "\n") != 2 || !strings.HasSuffix(word, "\nown\n") {
			t.Errorf("%q", word)
		}
	}
	u := start(t, &made, "--termination-log", log, "--", "sh", "-c", "echo begun; exec sleep inf")
	u.printed("begun")
	if word := readLog(t, log); word != "" {
		t.Errorf("a run begins with an old word: %q", word)
	}
}

// Whatever is wrong with the termination log costs one line in the log and nothing else.
func TestTerminationLogThatCantBeWritten(t *testing.T) {
	dir := t.TempDir()
	fifo := filepath.Join(dir, "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ path, says string }{
		{dir, "is a directory"},
		{fifo, "not a regular file"},
		{"/dev/full", "not a regular file"},
		{dir + "/no/such/dir", "no such file"},
		{"/proc/version", ""}, // nobody can write to it
		{"", "-"},
	} {
		// The stop makes usher write three times.
		u := start(t, &made, "-q", "--term-delay", "50ms", "--termination-log", c.path, "--", "sh", "-c", "trap 'exit 4' TERM; echo ready; while :; do sleep 0.01; done")
		u.printed("ready")
		u.signal(unix.SIGTERM)
		u.want(4)
		out := u.stderr.String()
		switch {
		case c.says == "-":
			if out != "" {
				t.Errorf("no termination log: %q", out)
			}
		case strings.Count(out, "\n") != 1 || !strings.Contains(out, "termination log") || !strings.Contains(out, c.says):
			t.Errorf("%s: %q", c.path, out)
		}
	}
}

// A file system that is full: the run goes on, and what was there before is not lost to a crash.
func TestTerminationLogOnAFullDisk(t *testing.T) {
	dir := t.TempDir()
	u := command(t, &made, "--termination-log", dir+"/log", "--", "sh", "-c", "exit 4")
	script := `mount -t tmpfs -o size=4k tmpfs ` + dir + ` && : > ` + dir + `/log && cat /dev/zero > ` + dir + `/fill 2>/dev/null; exec "$@"`
	u.cmd.Args = append([]string{"sh", "-c", script, "sh", made.path}, u.cmd.Args[1:]...)
	u.cmd.Path = "/bin/sh"
	u.begin().want(4)
	if out := u.stderr.String(); !strings.Contains(out, "no space left on device") {
		t.Errorf("log: %q", out)
	}
}

// A limit of no bytes at all for files, with the signal that comes with it.
func TestTerminationLogAndFileSizeLimit(t *testing.T) {
	eachBuild(t, func(t *testing.T, b *build) {
		log := newLog(t)
		u := command(t, b, "-q", "--termination-log", log, "--", "sh", "-c", "exit 4")
		u.cmd.Args = append([]string{"sh", "-c", `ulimit -f 0; exec "$@"`, "sh", b.path}, u.cmd.Args[1:]...)
		u.cmd.Path = "/bin/sh"
		u.begin().want(4)
		if out := u.stderr.String(); strings.Count(out, "\n") != 1 || !strings.Contains(out, "cannot write termination log") {
			t.Errorf("log: %q", out)
		}
	})
}

// The default is left alone where there is none: usher makes no files that nobody asked for.
func TestNoTerminationLogByDefault(t *testing.T) {
	if _, err := os.Stat("/dev/termination-log"); err == nil {
		t.Skip("this machine has a /dev/termination-log")
	}
	u := command(t, &made, "--", "sh", "-c", "exit 4")
	u.cmd.Env = []string{"PATH=/bin"}
	u.begin().want(4)
	if _, err := os.Stat("/dev/termination-log"); err == nil {
		t.Error("/dev/termination-log was made")
	}
}
