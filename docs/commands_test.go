package docs_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"usher/internal/transcript"
)

// heldElsewhere are pages whose commands other tests run, with real servers and
// as PID 1: TestFrameworks and TestDebugPage in cmd/usher.
var heldElsewhere = []string{"docs/how-to/frameworks.md", "docs/how-to/debug.md"}

// TestTranscripts runs the commands in pages' console blocks, and compares what
// they print. Pages whose commands need Docker are run by the tests in
// dockerfiles.
func TestTranscripts(t *testing.T) {
	ran := 0
	for path, text := range pages(t) {
		steps := transcript.Parse(text)
		if len(steps) == 0 || strings.Contains(text, "\n$ docker ") || slices.Contains(heldElsewhere, path) {
			continue
		}
		ran++
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			env := append(os.Environ(), "PATH="+filepath.Dir(usher)+":"+os.Getenv("PATH"), "USHER_TERMINATION_LOG=")
			shell, err := transcript.StartShell(t.TempDir(), env)
			if err != nil {
				t.Fatal(err)
			}
			defer shell.Close()
			for _, step := range steps {
				if err := shell.Try(step, false); err != nil {
					t.Error(err)
				}
			}
		})
	}
	if ran < 3 {
		t.Errorf("only %d pages have commands that run without Docker", ran)
	}
}

// example matches a command of usher's, in a code block that nobody runs, or in
// the text.
var example = regexp.MustCompile("(?m)(?:^ *|`)(usher (?:-[^`\n]* )?-- [^`\n|]*)")

// TestExamples: usher takes the flags in every command that pages show. Nothing
// is started: it prints the plan.
func TestExamples(t *testing.T) {
	seen := 0
	for path, text := range pages(t) {
		if slices.Contains(heldElsewhere, path) {
			continue
		}
		for _, m := range example.FindAllStringSubmatch(text, -1) {
			seen++
			command := strings.TrimSuffix(strings.Replace(m[1], "usher ", "usher --plan ", 1), "…")
			run := exec.Command("bash", "-c", command)
			run.Env = []string{"PATH=" + filepath.Dir(usher) + ":" + os.Getenv("PATH")}
			if out, err := run.CombinedOutput(); err != nil {
				t.Errorf("%s: %s: %v\n%s", path, m[1], err, out)
			}
		}
	}
	if seen < 20 {
		t.Errorf("only %d commands", seen)
	}
}

var (
	aFlag    = regexp.MustCompile(`--[a-z][a-z-]*`)
	variable = regexp.MustCompile(`USHER_[A-Z_]+`)
	setting  = regexp.MustCompile(`(?m)^([a-z-]+)=(.*) \(default\)$`)
)

// TestCommandLine holds reference/command-line.md against the binary: its flags
// (--help all), its settings and their defaults (/flagz). Other pages name no
// variable that it does not have.
func TestCommandLine(t *testing.T) {
	page, err := os.ReadFile("reference/command-line.md")
	if err != nil {
		t.Fatal(err)
	}
	defaults := map[string]string{} // by the flags in the page
	flags := map[string]bool{}
	for line := range strings.Lines(string(page)) {
		cells := strings.Split(line, " | ")
		if !strings.HasPrefix(line, "| `-") {
			continue
		}
		names := aFlag.FindAllString(cells[0], -1)
		for _, name := range names {
			flags[name] = true
		}
		if len(cells) != 4 { // a flag that is no setting
			continue
		}
		variables := variable.FindAllString(cells[1], -1)
		if len(variables) != len(names) {
			t.Errorf("%d flags, %d variables: %s", len(names), len(variables), line)
			continue
		}
		for i, name := range names {
			defaults[name] = strings.Trim(cells[2], "`")
			want := "USHER_" + strings.ToUpper(strings.ReplaceAll(name[2:], "-", "_"))
			if variables[i] != want {
				t.Errorf("%s has %s, not %s", name, variables[i], want)
			}
		}
	}

	help, err := exec.Command(usher, "--help", "all").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range aFlag.FindAllString(string(help), -1) {
		if !flags[name] {
			t.Errorf("the page does not have %s", name)
		}
	}
	for name := range flags {
		other := strings.Replace(strings.Replace(name, "--live-", "--ready-", 1), "--startup-", "--ready-", 1)
		if !strings.Contains(string(help), name+" ") && !strings.Contains(string(help), name+"\n") && !strings.Contains(string(help), other+" ") {
			t.Errorf("the page has %s, which is no flag", name)
		}
	}

	socket := filepath.Join(t.TempDir(), "s")
	flagz, err := exec.Command(usher, "--health-addr", "unix:"+socket, "--termination-log", "", "--",
		"curl", "-s", "--unix-socket", socket, "http://usher/flagz").Output()
	if err != nil {
		t.Fatalf("%v: %s", err, flagz)
	}
	settings := setting.FindAllStringSubmatch(string(flagz), -1)
	for path, text := range pages(t) {
		if path != "README.md" && !strings.HasPrefix(path, "docs/") {
			continue
		}
		for _, name := range variable.FindAllString(text, -1) {
			flag := "--" + strings.ToLower(strings.ReplaceAll(strings.TrimPrefix(name, "USHER_"), "_", "-"))
			if _, ok := defaults[flag]; !ok {
				t.Errorf("%s: no variable %s", path, name)
			}
		}
	}
	if len(settings) < 50 {
		t.Errorf("only %d settings: %s", len(settings), flagz)
	}
	for _, m := range settings {
		name, value := "--"+m[1], m[2]
		shown, ok := defaults[name]
		if !ok {
			t.Errorf("the page has no default of %s", name)
		}
		words := []string{"–", "usher's own", "the stop signal"} // for no value
		if shown != value && (value != "" || !strings.Contains(strings.Join(words, "|"), shown)) && name != "--check-header" {
			t.Errorf("%s: the page has the default %q, usher %q", name, shown, value)
		}
	}
}
