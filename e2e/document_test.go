package e2e

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const document = "../docs/explanation/pod-ends.md"

// masked hides what differs between two runs: times, sizes, process IDs, what a
// process was doing.
func masked(row string) string {
	for _, m := range []struct{ what, by string }{
		{`[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]+Z`, "TIME"},
		{`\b([0-9]+h)?([0-9]+m)?[0-9]+(\.[0-9]+)?(s|ms|µs)\b`, "DURATION"},
		{`\b[0-9]+m\b`, "DURATION"},
		{`\b[0-9.]+(Ki|Mi|Gi|k|M)\b`, "SIZE"},
		{`pid [0-9]+`, "pid N"},
		{`\([0-9]+ times`, "(N times"},
		{`state [A-Z], in \w+`, "state S, in CALL"},
		{`; peak memory SIZE(, CPU DURATION)?`, ""},
		{`(memory limit SIZE)[^;]*`, "$1"}, // whether usher has seen it come depends on the app's speed
	} {
		row = regexp.MustCompile(m.what).ReplaceAllString(row, m.by)
	}
	return row
}

// what names a row.
func what(row string) string {
	name, _, _ := strings.Cut(strings.TrimPrefix(row, "| "), " | ")
	return name
}

// compareDocument holds the rows of a run against a table of the documentation.
// Rows that this round or this cluster does not have (empty ones; another
// cgroup's) stay as they are.
func compareDocument(t *testing.T, name string, rows []string) {
	t.Helper()
	tableBegin := "<!-- Table " + name + ": from a run of e2e, see e2e/README.md. -->\n"
	tableEnd := "<!-- End of table " + name + ". -->\n"
	text, err := os.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := strings.Cut(string(text), tableBegin)
	table, after, alsoFound := strings.Cut(rest, tableEnd)
	if !found || !alsoFound {
		t.Fatalf("%s: its table %s is not marked", document, name)
	}
	lines := strings.SplitAfter(table, "\n")
	last := 1 // the head of the table, and the line below
	for _, row := range rows {
		if row == "" {
			continue
		}
		at := slices.IndexFunc(lines, func(l string) bool { return what(l) == what(row) })
		switch {
		case at < 0 && *update:
			lines = slices.Insert(lines, last+1, row+"\n")
			at = last + 1
		case at < 0:
			t.Errorf("%s has no row %q", document, what(row))
			continue
		case masked(lines[at]) == masked(row+"\n"):
		case *update:
			lines[at] = row + "\n"
		default:
			t.Errorf("%s has\n%s\nthe cluster has\n%s", document, strings.TrimSpace(lines[at]), row)
		}
		last = at
	}
	if *update {
		text := before + tableBegin + strings.Join(lines, "") + tableEnd + after
		if err := os.WriteFile(document, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func TestMasked(t *testing.T) {
	const later = "| x | uptime 3s; by sh (pid 12); peak memory 10Mi, CPU 1.2s; at 2027-01-01T00:00:00Z | exit code "
	a := masked("| x | uptime 1m3.2s; by sh (pid 7); peak memory 9.1Mi; at 2026-11-21T03:12:44Z | exit code 3 |")
	b := masked(later + "3 |")
	if a != b {
		t.Errorf("%s\n%s", a, b)
	}
	if c := masked(later + "4 |"); c == b {
		t.Error("another exit code is hidden")
	}
}
