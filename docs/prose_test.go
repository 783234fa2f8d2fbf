package docs_test

import (
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"
)

const (
	maxReadme   = 150 // lines
	maxColumns  = 100 // of a line that is neither code nor a table
	maxSentence = 25  // words
)

// wide are pages that are made by tests, or older than the limit of columns.
var wide = regexp.MustCompile(`^(CHANGELOG|CONTRIBUTING|SECURITY|docs/lifecycle|docs/reference/(events|metrics)|` +
	`docs/how-to/(frameworks|debug|verify-a-release)|signals/.*|e2e/.*|examples/.*|bench/.*)\.md$`)

// TestLengths: pages have short lines, and README and the tutorial have short
// sentences, too. README fits two screens.
func TestLengths(t *testing.T) {
	texts := pages(t)
	if n := strings.Count(texts["README.md"], "\n"); n > maxReadme {
		t.Errorf("README.md has %d lines, not %d", n, maxReadme)
	}
	for path, text := range texts {
		if wide.MatchString(path) {
			continue
		}
		prose, _ := split(text)
		for i, line := range prose {
			if n := utf8.RuneCountInString(line); n > maxColumns && !strings.HasPrefix(strings.TrimSpace(line), "|") {
				t.Errorf("%s:%d: %d columns, not %d", path, i+1, n, maxColumns)
			}
		}
	}
	for _, path := range []string{"README.md", "docs/tutorial.md", "docs/glossary.md"} {
		n := 0
		for _, sentence := range sentences(texts[path]) {
			n++
			if words := strings.Fields(sentence); len(words) > maxSentence {
				t.Errorf("%s: %d words, not %d: %s", path, len(words), maxSentence, sentence)
			}
		}
		if n < 15 {
			t.Errorf("%s: only %d sentences", path, n)
		}
	}
}

var (
	block       = regexp.MustCompile(`\n[\n ]*(?:[-*] |\d+\. |#+ |\||\n)`)
	sentenceEnd = regexp.MustCompile(`[.!?:](?:\*\*)? +`)
	target      = regexp.MustCompile(`\]\([^)]*\)`)
)

// sentences returns a page's sentences. Paragraphs, headings, list items and
// rows of tables are apart. A colon ends a sentence.
func sentences(page string) (all []string) {
	prose, _ := split(page)
	// A text in code font is one word, whatever is in it.
	text := code.ReplaceAllString(target.ReplaceAllString(strings.Join(prose, "\n"), "]"), "code")
	for _, part := range block.Split("\n"+text, -1) {
		for _, sentence := range sentenceEnd.Split(strings.Join(strings.Fields(part), " "), -1) {
			if sentence != "" {
				all = append(all, sentence)
			}
		}
	}
	return all
}

func TestSentences(t *testing.T) {
	got := strings.Join(sentences("# A title\n\nOne. Two:\nit [goes](a.b) on\n\n- three `x. y`\n- four\n\n    code. code\n"), "/")
	if want := "A title/One/Two/it [goes] on/three code/four"; got != want {
		t.Errorf("%q instead of %q", got, want)
	}
}

// TestGlossary: README and the tutorial explain each word of the glossary where
// they use it first. There it is in italics, or a link to the glossary.
func TestGlossary(t *testing.T) {
	texts := pages(t)
	words := regexp.MustCompile(`(?m)^## (.*)$`).FindAllStringSubmatch(texts["docs/glossary.md"], -1)
	if len(words) != 5 {
		t.Errorf("the glossary has %d words", len(words))
	}
	for _, path := range []string{"README.md", "docs/tutorial.md"} {
		prose, _ := split(texts[path])
		text := code.ReplaceAllString(target.ReplaceAllStringFunc(strings.Join(prose, "\n"), func(s string) string {
			if strings.Contains(s, "glossary.md") {
				return s
			}
			return "]"
		}), "")
		for _, word := range words {
			word := strings.ToLower(word[1])
			first := regexp.MustCompile(`(?i)\b` + word + `s?\b`).FindStringIndex(text)
			if first == nil {
				continue
			}
			from, to := max(first[0]-1, 0), min(first[1]+1, len(text))
			if around := text[from:to]; !strings.HasPrefix(around, "*") && !strings.HasPrefix(text[first[1]:], "](") {
				t.Errorf("%s: %q is not explained where it comes first: %q", path, word, text[max(from-60, 0):min(to+20, len(text))])
			}
		}
	}
}
