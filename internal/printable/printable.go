// Package printable has the one rule for what usher writes of others' words:
// names of processes, output of hooks and checks, what a server or the app has
// said. It may reach a terminal, and is read as lines.
package printable

import "strings"

// Rune is what is written for r: r itself, or a blank for a character that
// steers a terminal (control characters, of which U+009B begins an escape
// sequence as ESC [ does), ends a line, or has what is around it shown in
// another order or not at all. The joiners, U+200C and U+200D, are needed in
// words of many languages. Whatever ranges over a string makes U+FFFD of what
// is no UTF-8.
func Rune(r rune) rune {
	switch {
	case r < ' ', 0x7f <= r && r <= 0x9f,
		r == 0x61c, 0x200e <= r && r <= 0x200f, 0x202a <= r && r <= 0x202e, 0x2066 <= r && r <= 0x2069, // bidirectional text
		r == 0x2028, r == 0x2029, // lines and paragraphs
		r == 0x200b, 0x2060 <= r && r <= 0x2065, 0x206a <= r && r <= 0x206f, r == 0xfeff, 0xfff9 <= r && r <= 0xfffb: // not seen
		return ' '
	}
	return r
}

// Line is s as one line.
func Line(s string) string { return strings.Map(Rune, s) }

// Tabbed is s as one line that has kept its tabs: output that is meant for
// people.
func Tabbed(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\t' {
			return r
		}
		return Rune(r)
	}, s)
}

// Text is s with its lines and tabs.
func Text(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' {
			return r
		}
		return Rune(r)
	}, s)
}
