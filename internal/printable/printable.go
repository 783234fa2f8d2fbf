// Package printable has the one rule for text that usher writes but did not
// make: names of processes, output of hooks and checks, messages of servers and
// of the app. It may reach a terminal, and readers expect it in lines.
package printable

import "strings"

// Rune returns r itself, or a blank for a character that steers a terminal
// (control characters; U+009B begins an escape sequence as ESC [ does), that
// ends a line, or that hides the text around it or shows it in another order.
// The joiners, U+200C and U+200D, stay: words of many languages need them. A
// caller that ranges over a string gets U+FFFD for bytes that are no UTF-8.
func Rune(r rune) rune {
	switch {
	case r < ' ', 0x7f <= r && r <= 0x9f,
		// Bidirectional text.
		r == 0x61c, 0x200e <= r && r <= 0x200f, 0x202a <= r && r <= 0x202e, 0x2066 <= r && r <= 0x2069,
		// Lines and paragraphs.
		r == 0x2028, r == 0x2029,
		// Invisible characters.
		r == 0x200b, 0x2060 <= r && r <= 0x2065, 0x206a <= r && r <= 0x206f, r == 0xfeff, 0xfff9 <= r && r <= 0xfffb:
		return ' '
	}
	return r
}

// Line returns s as one printable line.
func Line(s string) string { return strings.Map(Rune, s) }

// Tabbed returns s as one printable line that keeps its tabs, for output that
// people read.
func Tabbed(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\t' {
			return r
		}
		return Rune(r)
	}, s)
}

// Text returns s as printable text that keeps its lines and tabs.
func Text(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' {
			return r
		}
		return Rune(r)
	}, s)
}
