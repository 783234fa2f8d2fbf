package rules

import (
	"go/ast"
	"go/token"
	"os"
	"strings"
	"testing"
	"unicode/utf8"
)

// The limits of CONTRIBUTING.md. A reader's eye loses longer lines, and a longer
// file is read in more than one sitting.
const (
	maxCode    = 120 // columns of a line; a tab is four
	maxComment = 80  // columns of a comment's text
	maxLines   = 300 // lines of a file
)

// uncheckedTests are tests whose comments are not checked: they are older than
// the limit, and change with what they test. Other lines of tests have no limit,
// because a table is as wide as its cases.
var uncheckedTests = []string{"cmd/usher/", "dockerfiles/"}

func TestLines(t *testing.T) {
	matched := map[string]bool{}
	for _, file := range sources(t) {
		switch {
		case strings.Contains(file.path, "testdata/"):
		case strings.HasSuffix(file.path, "_test.go"):
			if !listed(file.path, uncheckedTests, matched) {
				checkComments(t, file)
			}
		default:
			checkComments(t, file)
			checkCode(t, file)
		}
	}
	for _, name := range uncheckedTests {
		if !matched[name] {
			t.Errorf("%q, whose lines are not checked, is not there", name)
		}
	}
}

func checkCode(t *testing.T, file source) {
	text, err := os.ReadFile("../../" + file.path)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
	if len(lines) > maxLines {
		t.Errorf("%s has %d lines: move its second noun to a file of its own", file.path, len(lines))
	}
	raw := rawStrings(file)
	for i, line := range lines {
		if n := columns(line); n > maxCode && !raw[i+1] {
			t.Errorf("%s:%d: %d columns, not %d", file.path, i+1, n, maxCode)
		}
	}
}

// checkComments ignores directives, which are no text, and a text without
// blanks, such as an address, which cannot be broken.
func checkComments(t *testing.T, file source) {
	for _, group := range file.tree.Comments {
		for _, comment := range group.List {
			text, ok := strings.CutPrefix(comment.Text, "// ")
			if n := columns(text); ok && n > maxComment && strings.Contains(text, " ") {
				t.Errorf("%s: a comment of %d columns, not %d", file.set.Position(comment.Pos()), n, maxComment)
			}
		}
	}
}

// rawStrings returns the lines of raw strings, such as usage texts. They are
// the program's output, and as wide as their readers need them.
func rawStrings(file source) map[int]bool {
	lines := map[int]bool{}
	ast.Inspect(file.tree, func(n ast.Node) bool {
		if literal, ok := n.(*ast.BasicLit); ok && literal.Kind == token.STRING && literal.Value[0] == '`' {
			for i := file.set.Position(literal.Pos()).Line; i <= file.set.Position(literal.End()).Line; i++ {
				lines[i] = true
			}
		}
		return true
	})
	return lines
}

func columns(line string) int {
	return utf8.RuneCountInString(line) + 3*strings.Count(line, "\t")
}
