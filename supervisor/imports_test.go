package supervisor

import (
	"os/exec"
	"path"
	"slices"
	"strings"
	"testing"
)

// mayImport lists what the packages of usher may import of each other. Imports
// point downwards only: a package that needs something from above takes it as
// an argument, or declares an interface for it.
//
// An entry for a directory, which ends in a slash, holds for all packages below
// it that have none of their own. Test files may import more.
var mayImport = []importRule{
	{"internal/", []string{"internal/"},
		"healthz and supervisor both use these, and they know of neither"},
	{"signals/", []string{"signals/", "internal/"},
		"the entry point runs before the Go runtime, and everything above uses signals"},
	{"healthz/", []string{"healthz/", "internal/", "signals/"},
		"usher-check uses the checks without a supervisor"},
	{"supervisor/lifecycle", []string{"signals"},
		"decisions are pure: no clock, no system call, no supervisor"},
	{"supervisor/event", []string{"internal/"},
		"what is told of an event depends on the event alone"},
	{"supervisor/timeline", []string{"supervisor/event", "internal/"},
		"it keeps events, and does not know which package reports them"},
	{"supervisor/lastword", []string{"signals/entry", "internal/"},
		"the termination log can be written whatever else has failed"},
	{"supervisor/traffic", nil,
		"it reads what the kernel knows of connections, for the loop to judge"},
	{"supervisor/memory", []string{"supervisor/event", "supervisor/process", "supervisor/lastword", "internal/file"},
		"it watches the kernel's counts, and tells what the last word can say of them"},
	{"supervisor/binfmt/", nil,
		"what a file is depends on its bytes alone"},
	{"supervisor/process", []string{"signals", "signals/entry", "internal/file"},
		"it finds, signals and reaps processes, whatever they are to the loop"},
	{"supervisor/spawn", []string{"supervisor/binfmt", "signals", "internal/"},
		"it starts a program, and does not know for what, or why it failed"},
	{"supervisor/command", []string{"supervisor/event", "supervisor/spawn", "supervisor/explain", "supervisor/exitcode", "healthz/check",
		"signals", "signals/entry"},
		"commands run beside the app, and the loop decides what follows from their end"},
	{"supervisor/explain", []string{"supervisor/spawn", "supervisor/binfmt", "supervisor/exitcode", "internal/",
		"signals/entry"},
		"why a start has failed depends on the command, its user and the files"},
	{"supervisor/health", []string{"supervisor/event", "supervisor/timeline", "supervisor/lifecycle", "supervisor/lastword", "supervisor/memory", "supervisor/process",
		"healthz/", "internal/", "signals", "signals/entry"},
		"a probe request reads a snapshot, and can't reach the loop"},
	{"supervisor/config", []string{"supervisor/lifecycle", "supervisor/command", "supervisor/health", "supervisor/traffic",
		"healthz", "healthz/check", "internal/file", "signals"},
		"main fills it in and shows its plan without a loop"},
	{"supervisor/goruntime", []string{"signals", "signals/entry"},
		"it is about the runtime alone"},
	{"supervisor/ending", []string{"supervisor/lifecycle", "supervisor/lastword", "supervisor/process", "supervisor/exitcode",
		"internal/file", "signals", "signals/entry"},
		"it makes a record of what the loop and the lifecycle know, and does nothing else"},
	{"supervisor/terminal", []string{"supervisor/event", "signals"},
		"it answers questions about a terminal, for the loop to act on"},
	{"supervisor/tail", []string{"supervisor/lastword", "signals/entry"},
		"it copies bytes, and knows the owner by its uid"},
	{"supervisor/exitcode", nil,
		"every package may use it"},
	{"supervisor", []string{"supervisor/", "healthz/", "internal/", "signals/"},
		"the loop uses all of them, and only main uses the loop"},
}

type importRule struct {
	packages string
	imports  []string
	why      string
}

const module = "usher/"

func TestImports(t *testing.T) {
	out, err := exec.Command("go", "list", "-f", "{{.ImportPath}} {{join .Imports \" \"}}",
		module+"internal/...", module+"signals/...", module+"healthz/...", module+"supervisor/...").CombinedOutput()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, out)
	}
	seen := map[string]bool{}
	for line := range strings.Lines(string(out)) {
		words := strings.Fields(strings.ReplaceAll(line, module, "./"))
		name := strings.TrimPrefix(words[0], "./")
		rule := slices.IndexFunc(mayImport, func(r importRule) bool { return r.packages == name })
		for dir := name; rule < 0 && dir != "."; dir = path.Dir(dir) {
			rule = slices.IndexFunc(mayImport, func(r importRule) bool { return r.packages == dir+"/" })
		}
		if rule < 0 {
			t.Errorf("%s: the table of imports_test.go does not say what this package may import", name)
			continue
		}
		allowed := mayImport[rule]
		seen[allowed.packages] = true
		for _, imported := range words[1:] {
			imported, own := strings.CutPrefix(imported, "./")
			if own && !slices.ContainsFunc(allowed.imports, func(a string) bool {
				return imported == a || strings.HasSuffix(a, "/") && strings.HasPrefix(imported+"/", a)
			}) {
				t.Errorf("%s must not import %s: %s. It may import %q; the table is in supervisor/imports_test.go.",
					name, imported, allowed.why, allowed.imports)
			}
		}
	}
	for _, r := range mayImport {
		if !seen[r.packages] {
			t.Errorf("the table of imports_test.go names %s, which is not there", r.packages)
		}
	}
}
