// Package manual reads manual pages in mdoc(7), as far as docs/man uses it, for
// the tests that hold them against the code.
package manual

import (
	"os"
	"slices"
	"strings"
)

// Page is a manual page.
type Page struct {
	Items []Item
	// Sections are the texts of the page by their heading, macros and all.
	Sections map[string]string
}

// Item is an .It of a list.
type Item struct {
	// Section is the heading, with that of the subsection behind a slash.
	Section string
	// Args are what stands on the line behind each macro, without commas: "Fl" has
	// "r" and "-rewrite".
	Args map[string][]string
	// Word is the first word that is no macro.
	Word string
	// Text is what follows, up to the next item that has a text of its own: items
	// that stand together share one.
	Text string
}

// Read reads the page at path.
func Read(path string) (Page, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return Page{}, err
	}
	p := Page{Sections: map[string]string{}}
	var section, sub string
	var open []int // items that have no text yet, or are having theirs
	hasText := false
	for line := range strings.Lines(string(text)) {
		macro, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch macro {
		case ".Sh", ".Ss":
			if macro == ".Sh" {
				section, sub = rest, ""
			} else {
				sub = "/" + rest
			}
			open = nil
		case ".It":
			if hasText {
				open, hasText = nil, false
			}
			item := parse(rest)
			item.Section = section + sub
			open = append(open, len(p.Items))
			p.Items = append(p.Items, item)
		case ".El":
			open = nil
		default:
			hasText = true
			for _, i := range open {
				p.Items[i].Text += line
			}
		}
		p.Sections[section] += line
	}
	return p, nil
}

// callable are the macros that a line of docs/man has.
var callable = []string{"Fl", "Ar", "Li", "Pa", "Ev", "Sy", "Nm", "Op", "Ns", "Cm"}

func parse(line string) Item {
	item := Item{Args: map[string][]string{}}
	macro := ""
	for word := range strings.FieldsSeq(line) {
		word = strings.ReplaceAll(word, `\&`, "")
		switch {
		case slices.Contains(callable, word):
			macro = word
		case word == "," || word == ";":
		default:
			if item.Word == "" {
				item.Word = word
			}
			item.Args[macro] = append(item.Args[macro], word)
		}
	}
	return item
}

// Default is what the text says behind "The default is", or false.
func (i Item) Default() (string, bool) {
	_, after, ok := strings.Cut(i.Text, "The default is\n.Li ")
	if !ok {
		return "", false
	}
	return strings.Fields(after)[0], true
}
