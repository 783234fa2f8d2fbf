package main_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

type planCase struct{ args, want string }

// documented are the plans that the README and docs show.
func documented(t *testing.T) (cases []planCase) {
	t.Helper()
	for _, pattern := range []string{"../../README.md", "../../docs/*.md", "../../docs/*/*.md"} {
		pages, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, page := range pages {
			text, err := os.ReadFile(page)
			if err != nil {
				t.Fatal(err)
			}
			for _, shown := range strings.Split(string(text), "\n    $ usher --plan ")[1:] {
				shown, _, _ = strings.Cut(shown, "\n\n")
				args, want, _ := strings.Cut(shown, "\n    ")
				cases = append(cases, planCase{"--plan " + args, "\n" + strings.ReplaceAll(want, "\n    ", "\n") + "\n"})
			}
		}
	}
	if len(cases) == 0 {
		t.Fatal("no plan is shown anywhere")
	}
	return cases
}

func TestPlan(t *testing.T) {
	for _, c := range append(documented(t), []planCase{
		{"--plan -- /no/such/app", `
at       for
0s                ▏             stop signal: SIGTERM; /readyz  --stop-signals
                                fails
0s       no limit ░░░░░░░░░░░░  the app gets the stop signal
                                never SIGKILL: no time limit   --grace-period
         2s                     what the app leaves behind     --straggler-grace
                                gets SIGTERM, then SIGKILL
                                the reason is written
The app may take as long as it needs: what has no time here follows its end.
`},
		{"--plan --term-delay 10s --grace-period 30s --rewrite TERM:QUIT -- app", `
at       for
0s                ▏             stop signal: SIGTERM; /readyz  --stop-signals
                                fails
0s       10s      ████          hold: the app keeps serving    --term-delay
10s      19.5s        ████████  the app gets the stop signal,
                                SIGTERM as SIGQUIT
29.5s                        ▏  SIGKILL                        --grace-period
29.5s                        ▏  what the app leaves behind     --straggler-grace
                                gets SIGTERM, then SIGKILL
29.5s    500ms               █  the reason is written
30s                          ▏  the orchestrator's SIGKILL     --grace-period
Each time is the latest there can be: an early end brings the rest forward.
`},
		{"--plan --stop-signals QUIT,15 --term-delay 4s --grace-period 60s --stop-schedule TERM/20s/QUIT/5s/KILL --pre-stop exec:/bin/true --post-stop http://a/b --hook-timeout 5s -- app", `
at       for
0s                ▏             stop signal: SIGQUIT or        --stop-signals
                                SIGTERM; /readyz fails
0s       4s       █             hold: the app keeps serving    --term-delay
4s       5s        █            pre-stop: /bin/true            --pre-stop
9s       20s        ████        the app gets SIGTERM           --stop-schedule
29s      5s             █       the app gets SIGQUIT           --stop-schedule
34s                      ▏      SIGKILL                        --stop-schedule
34s      2s              █      what the app leaves behind     --straggler-grace
                                gets SIGTERM, then SIGKILL
36s      5s              █      post-stop: http://a/b          --post-stop
59.5s    500ms               █  the reason is written
1m0s                         ▏  the orchestrator's SIGKILL     --grace-period
Each time is the latest there can be: an early end brings the rest forward.
`},
		{"--plan --stop-signals TERM,QUIT --rewrite TERM:0 -- app", `
at       for
0s                ▏             stop signal: SIGQUIT; /readyz  --stop-signals
                                fails
0s       no limit ░░░░░░░░░░░░  the app gets the stop signal
                                never SIGKILL: no time limit   --grace-period
         2s                     what the app leaves behind     --straggler-grace
                                gets SIGTERM, then SIGKILL
                                the reason is written
The app may take as long as it needs: what has no time here follows its end.
`},
		{"--plan --term-delay 5s --ready-while-draining", `
at       for
0s                ▏             stop signal: SIGTERM; /readyz  --stop-signals
                                stays as it is
0s       5s       ████████      hold: the app keeps serving    --term-delay
5s       no limit         ░░░░  the app gets the stop signal
                                never SIGKILL: no time limit   --grace-period
         2s                     what the app leaves behind     --straggler-grace
                                gets SIGTERM, then SIGKILL
                                the reason is written
The app may take as long as it needs: what has no time here follows its end.
`},
		{"--plan --term-delay 20s --quiet-period 5s --quiet-mode new-connections", `
at       for
0s                ▏             stop signal: SIGTERM; /readyz  --stop-signals
                                fails
0s       20s      ████████      hold: the app keeps serving,   --term-delay
                                until no new connection for
                                5s
20s      no limit         ░░░░  the app gets the stop signal
                                never SIGKILL: no time limit   --grace-period
         2s                     what the app leaves behind     --straggler-grace
                                gets SIGTERM, then SIGKILL
                                the reason is written
The app may take as long as it needs: what has no time here follows its end.
`},
		{"--plan --term-delay 5s --rewrite TERM:0 -- app", `
at       for
0s                ▏             no stop: SIGTERM is swallowed  --rewrite
Each time is the latest there can be: an early end brings the rest forward.
`},
		{"--plan --grace-period 20s --stop-schedule TERM/5/forever/QUIT/5 --post-stop exec:clean -- app", `
at       for
0s                ▏             stop signal: SIGTERM; /readyz  --stop-signals
                                fails
0s       5s       ███           the app gets SIGTERM           --stop-schedule
5s       9.5s        ██████     the app gets SIGQUIT, again    --stop-schedule
                                and again
14.5s                      ▏    SIGKILL                        --grace-period
14.5s                      ▏    what the app leaves behind     --straggler-grace
                                gets SIGTERM, then SIGKILL
14.5s    5s                ███  post-stop: clean               --post-stop
19.5s    500ms               █  the reason is written
20s                          ▏  the orchestrator's SIGKILL     --grace-period
Each time is the latest there can be: an early end brings the rest forward.
`},
	}...) {
		u := start(t, &made, strings.Fields(c.args)...)
		u.want(0)
		if got := u.stdout.String(); got != c.want[1:] {
			t.Errorf("usher %s:\n%s\nwant:\n%s", c.args, got, c.want[1:])
		}
	}
}

// Whatever the user has set, the table fits a terminal of 80 columns, each flag
// is in the column of the flags, and the whole text is there.
func TestPlanWidth(t *testing.T) {
	url := "http://consul.example/v1/agent/" + strings.Repeat("service/", 20)
	words := strings.TrimSpace(strings.Repeat("zwölf Boxkämpfer ", 20))
	for _, args := range [][]string{
		{"--pre-stop", url, "--post-stop", "exec:say " + words, "--grace-period", "2m0.123456789s"},
		{"--pre-stop", "exec:\x1b[31mred\u009b1m\u202e end", "--term-delay", "2500000h"},
		{"--term-delay", "1ns", "--straggler-grace", "0s"},
		{"--grace-period", "26h0m0.5s", "--drain-timeout", "25h1m0.001s"},
	} {
		u := start(t, &made, append(append([]string{"--plan"}, args...), "--", "app")...)
		u.want(0)
		var joined strings.Builder
		for line := range strings.Lines(u.stdout.String()) {
			line = strings.TrimSuffix(line, "\n")
			if columns := []rune(line); len(columns) > 80 || strings.TrimRight(line, " ") != line {
				t.Errorf("usher %q: %q has %d columns", args, line, len(columns))
			}
			if i := strings.LastIndex(line, " --"); i >= 0 {
				if at := len([]rune(line[:i+1])); at != 63 {
					t.Errorf("usher %q: %q has its flag in column %d", args, line, at)
				}
				line = line[:i]
			}
			if strings.ContainsFunc(line, func(r rune) bool { return r < ' ' || r == 0x9b || r == 0x202e }) {
				t.Errorf("usher %q: %q is not printable", args, line)
			}
			joined.WriteString(strings.ReplaceAll(line, " ", ""))
		}
		for _, arg := range args {
			arg, isText := strings.CutPrefix(arg, "exec:say ")
			if (isText || arg == url) && !strings.Contains(joined.String(), strings.ReplaceAll(arg, " ", "")) {
				t.Errorf("usher %q: not all of %q is in\n%s", args, arg, &u.stdout)
			}
		}
	}
}

// The picture in docs is of what usher says today.
func TestPlanInPicture(t *testing.T) {
	makefile, err := os.ReadFile("../../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	pictured := regexp.MustCompile(`(?m)^PICTURED = (.+)$`).FindSubmatch(makefile)
	want, err := os.ReadFile("../../docs/pictures/plan.json")
	if err != nil || pictured == nil {
		t.Fatalf("%v, %q", err, pictured)
	}
	u := start(t, &made, append([]string{"--plan", "--log-format", "json"}, strings.Fields(string(pictured[1]))...)...)
	u.want(0)
	if got := u.stdout.String(); got != string(want) {
		t.Errorf("docs/pictures/plan.json is not what usher says, which is: make pictures\n%s", got)
	}
}

// With --log-format json it is for machines, and says the same.
func TestPlanJSON(t *testing.T) {
	u := start(t, &made, "--plan", "--log-format", "json", "--grace-period", "2s", "--pre-stop", `exec:say "a b"`, "--", "app")
	u.want(0)
	type stage struct {
		At, For    float64
		What, Flag string
	}
	var got []stage
	for d := json.NewDecoder(strings.NewReader(u.stdout.String())); d.More(); {
		var s stage
		if err := d.Decode(&s); err != nil {
			t.Fatalf("%v\n%s", err, &u.stdout)
		}
		got = append(got, s)
	}
	want := []stage{
		{0, 0, "stop signal: SIGTERM; /readyz fails", "--stop-signals"}, {0, 0.5, "pre-stop: say a b", "--pre-stop"}, {0.5, 1, "the app gets the stop signal", ""},
		{1.5, 0, "SIGKILL", "--grace-period"}, {1.5, 0, "what the app leaves behind gets SIGTERM, then SIGKILL", "--straggler-grace"},
		{1.5, 0.5, "the reason is written", ""}, {2, 0, "the orchestrator's SIGKILL", "--grace-period"},
	}
	if !slices.Equal(got, want) {
		t.Errorf("%+v", got)
	}
	u = command(t, &made, "--plan", "--log-format", "json", "--", "app")
	u.cmd.Env = append(u.cmd.Env, "USHER_GRACE_PERIODS=30s")
	u.begin()
	u.want(0)
	if !strings.Contains(u.stdout.String(), `{"at":0,"what":"the app gets the stop signal"}`) {
		t.Errorf("%s", &u.stdout)
	}
	if out := u.stderr.String(); strings.Count(out, "\n") != 1 || !strings.Contains(out, "unknown variable USHER_GRACE_PERIODS") {
		t.Errorf("stderr: %s", out)
	}
}

// What cannot fit into the grace period is an error, with the numbers, and so is all else at the same time.
func TestBudget(t *testing.T) {
	for _, c := range []struct {
		args string
		says []string
	}{
		{"--grace-period 30s --term-delay 10s --stop-schedule TERM/20s/KILL --straggler-grace 3s",
			[]string{"--grace-period 30s is too short: --term-delay 10s + --stop-schedule 20s + --straggler-grace 3s + writing the reason 500ms: 33.5s\n"}},
		{"--grace-period 10s --pre-stop exec:a --post-stop exec:b --hook-timeout 5s",
			[]string{"--grace-period 10s is too short: --pre-stop 5s + --post-stop 5s + writing the reason 500ms: 10.5s, and the app needs time to stop\n"}},
		{"--grace-period 10s --term-delay 9s --post-stop exec:b",
			[]string{"--term-delay 9s + --post-stop 2.5s + writing the reason 500ms: 12s, and the app needs time to stop; --hook-timeout is what a hook may take\n"}},
		{"--grace-period 1s --stop-schedule TERM/forever --term-delay 1s", []string{"--term-delay 1s + --straggler-grace 2s + writing the reason 250ms: 3.25s, and"}},
		{"--hook-timeout -1s --wait-timeout -1s --restart-max -1 --stop-signals KILL --stop-schedule TERM/5s/NONE --pre-start | --post-start tcp://a --pre-stop exec: --wait-for nonsense --restart maybe",
			[]string{"--hook-timeout -1s: must not", "--wait-timeout -1s: must not", "--restart-max -1: must not", "--stop-signals SIGKILL: usher never sees it", `"NONE" is neither`,
				`"|" is for a shell`, `"tcp://a": want exec:COMMAND or http://`, "no command given", `"nonsense"`, `"maybe"`}},
	} {
		u := start(t, &made, append(strings.Fields(c.args), "--", "sh", "-c", "echo started")...)
		u.want(125)
		for _, want := range c.says {
			if !strings.Contains(u.stderr.String(), want) {
				t.Errorf("usher %s: no %q in\n%s", c.args, want, &u.stderr)
			}
		}
		if u.stdout.String() != "" {
			t.Errorf("usher %s: something was started", c.args)
		}
	}
	// What just fits is none.
	start(t, &made, "--grace-period", "30s", "--term-delay", "7s", "--stop-schedule", "TERM/20s/KILL", "--straggler-grace", "2500ms", "--", "true").want(0)
}
