package main_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

const allPeers = "tini dumb-init catatonit"

// Reasons why usher differs.
const (
	noPermutation = "flags end at the first word that is none, as with tini on musl; glibc's getopt looks for them behind the command"
	allForwarded  = "usher forwards every signal that can be caught"
	alwaysReaper  = "usher that is not PID 1 is always a subreaper"
	stragglersEnd = "usher tells what outlives the app, and waits for it"
	ownGroup      = "the app has its own group also under -c: what a terminal sends arrives once"
	passedOn      = "usher passes on the signal state it was started with"
	neverRan      = "what could not be started has not ended in any way"
	interpreter   = "the command was found, its interpreter was not: 126"
)

func peerCases(t *testing.T) []peerCase {
	dir := t.TempDir()
	file := func(name, content string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	noX := file("nox", "#!/bin/sh\n", 0o644)
	noInterpreter := file("interp", "#!/no/such/interpreter\n", 0o755)
	noMagic := file("script", "exit 9\n", 0o755)

	var cases []peerCase
	add := func(c ...peerCase) { cases = append(cases, c...) }
	run := func(peers, name, want string, args ...string) peerCase {
		return peerCase{name: name, peers: peers, args: args, want: want}
	}

	// Exit codes.
	for _, code := range []int{0, 1, 7, 126, 255} {
		add(run(allPeers, fmt.Sprintf("exit %d", code), fmt.Sprintf("exit %d", code), "--", "sh", "-c", fmt.Sprintf("exit %d", code)))
	}
	for _, sig := range []int{1, 2, 6, 9, 15, 34, 64} {
		add(run(allPeers, fmt.Sprintf("killed by %d", sig), fmt.Sprintf("exit %d", 128+sig), "--", "bash", "-c", fmt.Sprintf("ulimit -c 0; kill -%d $$", sig)))
	}
	for name, c := range map[string]struct {
		command string
		tini    string
	}{
		"missing":         {dir + "/nothing", "exit 127"},
		"missing in PATH": {"no-such-command", "exit 127"},
		"empty name":      {"", "exit 127"},
		"directory":       {dir, "exit 126"},
		"no x bit":        {noX, "exit 126"},
	} {
		add(run("tini", name, c.tini, "--", c.command),
			run("dumb-init", name, "exit 2", "--", c.command),
			run("catatonit", name, "exit 1", "--", c.command))
	}
	add(peerCase{name: "no interpreter", peers: "tini", args: []string{"--", noInterpreter}, want: "exit 127", usher: "exit 126", differs: interpreter},
		run("dumb-init", "no interpreter", "exit 2", "--", noInterpreter),
		run("catatonit", "no interpreter", "exit 1", "--", noInterpreter),
		run(allPeers, "script without magic", "exit 9", "--", noMagic))

	// Help, versions, mistakes: the code, and where the text goes.
	streams := func(peers, want string, args ...string) {
		add(peerCase{name: strings.TrimSpace("called with " + strings.Join(args, " ")), peers: peers, args: args, see: endingStreams, want: want})
	}
	streams(allPeers, "exit 1, stderr")
	streams(allPeers, "exit 1, stderr", "--")
	streams(allPeers, "exit 1, stderr", "-Z", "true")
	streams(allPeers, "exit 1, stderr", "--zzz", "true")
	streams("tini", "exit 0, stdout", "-h")
	streams("tini", "exit 0, stdout", "-l")
	streams("tini", "exit 0, stdout", "--version")
	streams("tini", "exit 1, stderr", "--help")
	streams("tini", "exit 1, stderr", "-V")
	streams("tini", "exit 1, stderr", "-e")
	streams("tini", "exit 1, stderr", "-p", "FOO", "true")
	streams("tini", "exit 1, stderr", "-e", "256", "true")
	streams("tini", "exit 1, stderr", "-e", "-1", "true")
	streams("tini", "exit 1, stderr", "-e", "x", "true")
	streams("tini", "exit 0, stdout", "-sgh", "-Z")
	streams("dumb-init", "exit 0, stderr", "-h")
	streams("dumb-init", "exit 0, stderr", "--help")
	streams("dumb-init", "exit 0, stderr", "-V")
	streams("dumb-init", "exit 0, stderr", "--version")
	streams("dumb-init", "exit 1, stderr", "-r", "15", "true")
	streams("dumb-init", "exit 1, stderr", "-r", "x:y", "true")
	streams("dumb-init", "exit 1, stderr", "-r")
	streams("dumb-init", "exit 1, stderr", "--ver") // --verbose or --version?
	streams("dumb-init", "exit 1, stderr", "--verbose=1", "true")
	streams("catatonit", "exit 0, stderr", "-h")
	streams("catatonit", "exit 0, stdout", "-L")
	streams("catatonit", "exit 0, stdout", "-V")
	streams("catatonit", "exit 0, stdout", "--version")
	streams("catatonit", "exit 0, stdout", "--vers")
	streams("catatonit", "exit 1, stderr", "--help")
	add(peerCase{name: "version", peers: "tini", args: []string{"--version"}, see: firstWords(3), want: "tini version 0.19.0"},
		peerCase{name: "version", peers: "dumb-init", args: []string{"-V"}, see: firstWords(2), want: "dumb-init v1.2.5"},
		peerCase{name: "version", peers: "catatonit", args: []string{"-V"}, see: firstWords(3), want: "tini version 0.1.7_catatonit"},
		peerCase{name: "signal by name", peers: "dumb-init", args: []string{"-r", "TERM:INT", "true"}, want: "exit 1", usher: "exit 0", differs: "usher knows names (dumb-init#208)"},
		peerCase{name: "signal by number", peers: "tini", args: []string{"-s", "-p", "15", "true"}, want: "exit 1", usher: "exit 0", differs: "usher knows numbers"},
	)
	for rewrite, want := range map[string]string{"1:32": "exit 1", "32:1": "exit 1", "1:-1": "exit 1", "0:1": "exit 1", "1:31": "exit 0", "31:0": "exit 0",
		"17:1": "exit 0", "9:2": "exit 0", "19:2": "exit 0", "17:x": "exit 1", "17:32": "exit 1", "1:9": "exit 0", "1:": "exit 1", ":1": "exit 1", "": "exit 1"} {
		add(run("dumb-init", "-r "+rewrite, want, "-r", rewrite, "true"))
	}

	// Flags and commands.
	add(run("dumb-init", "no --", "exit 3", "sh", "-c", "exit 3"),
		peerCase{name: "no --", peers: "tini catatonit", args: []string{"sh", "-c", "exit 3"}, want: "exit 1", usher: "exit 3", differs: noPermutation},
		run("tini", "cluster", "exit 0", "-sge7", "--", "sh", "-c", "exit 7"),
		run("tini", "attached", "exit 0", "-pSIGTERM", "-s", "--", "true"),
		run("dumb-init", "cluster", "exit 7", "-cr15:3", "--", "sh", "-c", "exit 7"),
		run("dumb-init", "cut short", "exit 7", "--sing", "--rewr=15:3", "sh", "-c", "exit 7"),
		peerCase{name: "operands", peers: "tini catatonit", see: func(r *peerRun) string {
			u := r.command("echo", "--", "-a").begin()
			u.want(0)
			return strings.TrimSpace(u.stdout.String())
		}, want: "-a"})

	// tini -e.
	everyCode := []string{}
	for code := range 256 {
		everyCode = append(everyCode, "-e", fmt.Sprint(code))
	}
	add(run("tini", "-e 143", "exit 0", "-e", "143", "--", "sh", "-c", "kill $$"),
		run("tini", "-e twice", "exit 0", "-e", "7", "-e", "7", "-e", "8", "--", "sh", "-c", "exit 8"),
		run("tini", "-e another", "exit 9", "-e", "7", "--", "sh", "-c", "exit 9"),
		peerCase{name: "-e 127", peers: "tini", args: []string{"-e", "127", "--", "/no/such"}, want: "exit 0", usher: "exit 127", differs: neverRan},
		run("tini", "-e all", "exit 0", append(everyCode, "--", "sh", "-c", "exit 200")...))

	// Signals.
	add(peerCase{name: "lost", peers: "tini", see: lost(), only: "PID 1", want: "4 5 6 7 8 11 21 22 31", usher: "none", differs: allForwarded, complete: true},
		peerCase{name: "lost", peers: "catatonit", see: lost(), only: "PID 1", want: "4 5 6 7 8 11 20 21 22 31", usher: "none", differs: allForwarded, complete: true},
		peerCase{name: "lost", peers: "dumb-init", see: lost(unix.SIGTSTP, unix.SIGTTIN, unix.SIGTTOU), want: "none", complete: true})
	for _, c := range []struct {
		peers string
		args  []string
		env   string
		want  string
	}{
		{"tini catatonit", nil, "", "app"},
		{"tini catatonit", []string{"-g"}, "", "app and child"},
		{"tini", nil, "TINI_KILL_PROCESS_GROUP=", "app and child"},
		{"dumb-init", nil, "", "app and child"},
		{"dumb-init", []string{"-c"}, "", "app"},
		{"dumb-init", []string{"--single-child"}, "", "app"},
		{"dumb-init", nil, "DUMB_INIT_SETSID=0", "app"},
		{"dumb-init", nil, "DUMB_INIT_SETSID=1", "app and child"},
		{"dumb-init", nil, "DUMB_INIT_SETSID=", "app and child"},
	} {
		add(peerCase{name: strings.TrimSpace("to whom " + strings.Join(c.args, " ") + c.env), peers: c.peers, args: c.args, env: []string{c.env}, see: who, want: c.want})
	}
	for _, c := range []struct {
		args []string
		sig  unix.Signal
		want string
	}{
		{[]string{"-r", "15:3"}, 15, "3."},
		{[]string{"--rewrite", "15:3"}, 15, "3."},
		{[]string{"--rewrite=15:3"}, 3, "3."},
		{[]string{"-r", "15:0"}, 15, "nothing"},
		{[]string{"-r", "15:3", "-r", "15:1"}, 15, "1."},
		{[]string{"-r", "15:3", "-r", "3:1"}, 15, "3."},
		{[]string{"-r", "20:10"}, 20, "10."},
	} {
		only := ""
		if c.sig == unix.SIGTSTP {
			only = "PID 1" // elsewhere dumb-init stops after it
		}
		add(peerCase{name: fmt.Sprint(strings.Join(c.args, " "), " ", int(c.sig)), peers: "dumb-init", args: c.args, see: becomes(c.sig), only: only, want: c.want, complete: true})
	}
	add(peerCase{name: "ignored signals", peers: "tini catatonit", see: inherited, want: "ignored"},
		peerCase{name: "ignored signals", peers: "dumb-init", see: inherited, want: "not ignored", usher: "ignored", differs: passedOn})

	// Job control.
	for _, sig := range []unix.Signal{unix.SIGTSTP, unix.SIGTTIN, unix.SIGTTOU} {
		name := "job control " + unix.SignalName(sig)
		add(peerCase{name: name, peers: "dumb-init", see: jobControl(sig), complete: true, only: "subreaper", want: "both stopped"},
			peerCase{name: name + " -c", peers: "dumb-init", args: []string{"-c"}, see: jobControl(sig), complete: true, only: "subreaper", want: "app told, init stopped"},
			peerCase{name: name, peers: "catatonit", see: jobControl(sig), complete: true, want: "nothing", usher: "app told", differs: allForwarded})
		tini := peerCase{name: name, peers: "tini", see: jobControl(sig), complete: true, want: "app told", env: []string{"TINI_SUBREAPER="}}
		if sig != unix.SIGTSTP {
			tini.want, tini.usher, tini.differs = "nothing", "app told", allForwarded
		}
		add(tini)
	}
	add(peerCase{name: "hand-off of the terminal", peers: "dumb-init", see: hangups, want: "1 HUP, 1 CONT"},
		peerCase{name: "hand-off of the terminal", peers: "tini catatonit", see: hangups, want: "1 HUP, 1 CONT"})

	// Group, session, terminal.
	own, leader := "group own, session shared, tty ", "group own, session own, tty "
	add(peerCase{name: "place", peers: "tini catatonit", see: place, want: own + "no;"},
		peerCase{name: "place", peers: "dumb-init", see: place, want: leader + "no;"},
		peerCase{name: "place -c", peers: "dumb-init", args: []string{"-c"}, see: place, want: "group shared, session shared, tty no;", usher: own + "no;", differs: ownGroup},
		peerCase{name: "place on a terminal", peers: "tini catatonit", env: []string{"TINI_SUBREAPER="}, see: placeOnTerminal, want: own + "foreground;"},
		peerCase{name: "place on a terminal", peers: "dumb-init", see: placeOnTerminal, want: leader + "foreground;"},
		peerCase{name: "place on a terminal -c", peers: "dumb-init", env: []string{"DUMB_INIT_SETSID=0"}, see: placeOnTerminal,
			want: "group shared, session shared, tty foreground;", usher: own + "foreground;", differs: ownGroup})

	// Orphans.
	add(peerCase{name: "orphans reaped", peers: allPeers, see: reaping, only: "PID 1", want: "all reaped"},
		peerCase{name: "orphans -s", peers: "tini", args: []string{"-s"}, see: adopted, only: "subreaper", want: "adopted"},
		peerCase{name: "orphans TINI_SUBREAPER", peers: "tini", env: []string{"TINI_SUBREAPER="}, see: adopted, only: "subreaper", want: "adopted"},
		peerCase{name: "orphans", peers: "tini dumb-init", see: adopted, only: "subreaper", want: "left alone", usher: "adopted", differs: alwaysReaper},
		peerCase{name: "orphans", peers: "catatonit", see: adopted, only: "subreaper", want: "adopted"},
		peerCase{name: "-w", peers: "tini", args: []string{"-sw"}, see: warnings, want: "2 warnings"},
		peerCase{name: "-w not", peers: "tini", args: []string{"-s"}, see: warnings, want: "0 warnings"},
		peerCase{name: "-w quiet", peers: "tini", args: []string{"-sw"}, env: []string{"TINI_VERBOSITY=0"}, see: warnings, want: "0 warnings"},
		peerCase{name: "-w verbosity", peers: "tini", args: []string{"-wvs"}, env: []string{"TINI_VERBOSITY=x"}, see: warnings, want: "0 warnings"},
		peerCase{name: "stragglers", peers: allPeers, see: straggling, only: "PID 1", want: "killed", usher: "told", differs: stragglersEnd},
		peerCase{name: "left behind", peers: allPeers, see: leftBehind("setsid"), only: "subreaper", want: "left"},
		peerCase{name: "left behind in the group", peers: "tini catatonit", see: leftBehind(""), only: "subreaper", want: "left"},
		peerCase{name: "left behind in the group -g", peers: "tini catatonit", args: []string{"-g"}, see: leftBehind(""), only: "subreaper", want: "left"},
		peerCase{name: "left behind in the group", peers: "dumb-init", see: leftBehind(""), only: "subreaper", want: "sent 15"},
		peerCase{name: "left behind in the group, rewritten", peers: "dumb-init", args: []string{"-r", "15:1"}, see: leftBehind(""), only: "subreaper", want: "sent 1"},
		peerCase{name: "left behind in the group -c", peers: "dumb-init", args: []string{"-c"}, see: leftBehind(""), only: "subreaper", want: "left"},
		peerCase{name: "left behind, with a grace", peers: "tini", env: []string{"USHER_STRAGGLER_GRACE=300ms"}, see: leftBehind("setsid"), only: "subreaper",
			want: "left", usher: "ended sent 15", differs: stragglersEnd})

	// Where the init itself is, and the app.
	for _, args := range [][]string{nil, {"-c"}} {
		add(peerCase{name: fmt.Sprint("directory ", args), peers: "dumb-init", args: args, see: directories, want: "init in /, app in /usr"})
	}
	add(peerCase{name: "directory", peers: "tini", see: directories, want: "init in /usr, app in /usr"},
		peerCase{name: "directory", peers: "catatonit", see: directories, want: "init in /usr, app in /usr", usher: "init in /, app in /usr",
			differs: "catatonit goes there since 0.2"},
		peerCase{name: "directory, with a relative hook", peers: "dumb-init", env: []string{"USHER_POST_STOP=exec:./bin/true"}, see: directories,
			want: "init in /, app in /usr", usher: "init in /usr, app in /usr", differs: "a hook needs it"})

	// What else there is.
	add(peerCase{name: "-p", peers: "tini", args: []string{"-s", "-p", "SIGUSR1"}, see: parentDeath, only: "PID 1", want: "told"},
		peerCase{name: "-P TERM", peers: "catatonit", args: []string{"-P"}, env: []string{"CATATONIT_DEBUG=1"}, see: paused(unix.SIGTERM), want: "exit 0"},
		peerCase{name: "-P INT", peers: "catatonit", args: []string{"-gP", "ignored"}, env: []string{"CATATONIT_DEBUG=1"}, see: paused(unix.SIGINT), want: "exit 0"})
	for peer, env := range map[string]string{"tini": "TINI_VERBOSITY=1", "dumb-init": "DUMB_INIT_SETSID=0"} {
		add(peerCase{name: "variables are passed on", peers: peer, env: []string{env}, see: stdout("env | grep -E '^(TINI|DUMB_INIT)_'"), want: env})
	}
	add(peerCase{name: "silence", peers: allPeers, args: []string{"--", "sh", "-c", "kill -9 $$"}, env: []string{"TINI_SUBREAPER="}, see: endingStreams, want: "exit 137"})
	return cases
}
