package main_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// docs/how-to/debug.md shows what usher says of an end. These tests run its examples, and compare all that is printed.

const debugPage = "../../docs/how-to/debug.md"

// numbers are other ones in each run.
var numbers = regexp.MustCompile(`(\d+(\.\d+)?(h|ms|µs|ns|m|s|Mi|ki))+\b|pid \d+|uid \d+`)

// printedAs is what the page says that something prints: "…" is any text, and an indented line continues the one before.
func printedAs(page string) *regexp.Regexp {
	page = numbers.ReplaceAllString(strings.ReplaceAll(page, "\n    ", " "), "#")
	return regexp.MustCompile("^" + strings.ReplaceAll(regexp.QuoteMeta(page), "…", ".*") + "$")
}

func TestDebugPage(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root, for a /proc of its own")
	}
	if !ownNetwork(t) {
		return
	}
	text, err := os.ReadFile(debugPage)
	if err != nil {
		t.Fatal(err)
	}
	blocks := strings.Split(string(text), "```console\n")[1:]
	if len(blocks) < 10 {
		t.Fatalf("%d examples", len(blocks))
	}
	for _, block := range blocks {
		block, _, _ = strings.Cut(block, "```")
		var script, want []string
		for line := range strings.Lines(block) {
			if command, ok := strings.CutPrefix(line, "$ "); ok {
				script = append(script, command)
			} else {
				want = append(want, line)
			}
		}
		t.Run(strings.TrimSpace(script[0]), func(t *testing.T) {
			t.Parallel()
			u := command(t, &build{path: "/bin/sh"}, "-c", "mount --make-rprivate /; mount -t proc proc /proc\n"+strings.Join(script, ""))
			u.cmd.Dir, u.cmd.Stderr = t.TempDir(), u.cmd.Stdout
			u.cmd.Env = append(environ(), "PATH="+filepath.Dir(made.path)+":/usr/bin:/bin", "USHER_TERMINATION_LOG=")
			u.begin().wait()
			got, want := strings.ReplaceAll(u.stdout.String(), "Killed\n", ""), strings.Join(want, "") // the shell says that at times
			if !printedAs(want).MatchString(numbers.ReplaceAllString(got, "#")) {
				t.Errorf("%s\nprinted:\n%s\nand %s says:\n%s", strings.Join(script, ""), got, debugPage, want)
			}
		})
	}
}
