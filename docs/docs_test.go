// Package docs_test holds the documentation: its links, its lengths, its words,
// and what its commands print. There is no other code here.
package docs_test

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"usher/signals/testmain"
)

var usher string // what make build makes

func TestMain(m *testing.M) {
	testmain.Main(func() int {
		dir, err := os.MkdirTemp("", "usher-test-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		usher = filepath.Join(dir, "usher")
		build := exec.Command("make", "-s", "-C", "..", "build", "OUT="+usher, "CHECK="+filepath.Join(dir, "usher-check"))
		if out, err := build.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "make build: %v\n%s", err, out)
			return 1
		}
		return m.Run()
	})
}

// pages returns all Markdown files of the project by their paths from its root.
func pages(t *testing.T) map[string]string {
	t.Helper()
	texts := map[string]string{}
	err := filepath.WalkDir("..", func(path string, entry fs.DirEntry, err error) error {
		switch name := entry.Name(); {
		case err != nil:
			return err
		case entry.IsDir() && path != ".." && (strings.HasPrefix(name, ".") || name == "testdata" || name == "bin" || name == "dist"):
			return filepath.SkipDir
		case strings.HasSuffix(name, ".md"):
			text, err := os.ReadFile(path)
			texts[strings.TrimPrefix(path, "../")] = string(text)
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(texts) < 30 {
		t.Fatalf("only %d pages", len(texts))
	}
	return texts
}

// split returns a page's prose and its code, each with the lines of the other
// left empty, so that lines keep their numbers.
func split(page string) (prose, code []string) {
	fenced, indented, empty := false, false, true
	for line := range strings.SplitSeq(page, "\n") {
		fence := strings.HasPrefix(strings.TrimSpace(line), "```")
		if fence {
			fenced = !fenced
		}
		switch {
		case strings.TrimSpace(line) == "":
		case empty:
			// A line after an empty one begins a block, of code if it is indented.
			indented = strings.HasPrefix(line, "    ")
		case !strings.HasPrefix(line, "    "):
			indented = false
		}
		empty = strings.TrimSpace(line) == ""
		if fenced || fence || indented {
			prose, code = append(prose, ""), append(code, line)
		} else {
			prose, code = append(prose, line), append(code, "")
		}
	}
	return prose, code
}

var (
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	code    = regexp.MustCompile("`+[^`]*`+")
	heading = regexp.MustCompile(`^#+ +(.*)$`)
	noSlug  = regexp.MustCompile(`[^\p{L}\p{N} _-]`)
)

// TestLinks: every link inside the project leads to a file, or to a heading.
func TestLinks(t *testing.T) {
	texts := pages(t)
	anchors := map[string][]string{}
	for path, text := range texts {
		prose, _ := split(text)
		for _, line := range prose {
			if m := heading.FindStringSubmatch(line); m != nil {
				slug := noSlug.ReplaceAllString(strings.ToLower(link.ReplaceAllString(m[1], "")), "")
				anchors[path] = append(anchors[path], strings.ReplaceAll(slug, " ", "-"))
			}
		}
	}
	seen := 0
	for path, text := range texts {
		prose, _ := split(text)
		text := code.ReplaceAllString(strings.Join(prose, "\n"), "code")
		for _, m := range link.FindAllStringSubmatch(text, -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			seen++
			file, anchor, _ := strings.Cut(m[1], "#")
			target := filepath.Join(filepath.Dir(path), file)
			if file == "" {
				target = path
			}
			if _, err := os.Stat(filepath.Join("..", target)); err != nil {
				t.Errorf("%s: %s: %v", path, m[1], err)
			} else if anchor != "" && !slices.Contains(anchors[target], anchor) {
				t.Errorf("%s: %s has no heading %q, only %q", path, target, anchor, anchors[target])
			}
		}
	}
	if seen < 150 {
		t.Errorf("only %d links", seen)
	}
}

// TestIndex: the index names every page of this folder.
func TestIndex(t *testing.T) {
	texts := pages(t)
	for path := range texts {
		name, inside := strings.CutPrefix(path, "docs/")
		if inside && name != "README.md" && !strings.Contains(texts["docs/README.md"], "]("+name+")") {
			t.Errorf("docs/README.md has no link to %s", name)
		}
	}
}

// The numbers in README's table are those of the picture above it.
func TestDemoNumbers(t *testing.T) {
	figures, err := os.ReadFile("pictures/stop.json")
	if err != nil {
		t.Fatal(err)
	}
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := 0
	for line := range strings.Lines(string(figures)) {
		var r struct {
			StartedAs                      string
			GoneSeconds                    float64
			TenthsBefore                   int
			ServedByTenths, FailedByTenths []int
		}
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatal(err)
		}
		sum := func(tenths []int) (n int) {
			for _, k := range tenths[r.TenthsBefore:] {
				n += k
			}
			return n
		}
		if !strings.Contains(string(readme), "| `"+r.StartedAs+"` |") {
			continue
		}
		rows++
		row := fmt.Sprintf("| `%s` | %.1f s | %d | **%d** |", r.StartedAs, r.GoneSeconds, sum(r.ServedByTenths), sum(r.FailedByTenths))
		if !strings.Contains(string(readme), row) {
			t.Errorf("README.md should have %s", row)
		}
	}
	if rows != 2 {
		t.Errorf("README.md has %d rows of the demo", rows)
	}
}
