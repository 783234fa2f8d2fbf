package main

import (
	"strings"
	"time"
	"unicode/utf8"

	"usher/internal/printable"
	"usher/supervisor/lifecycle"
)

// The columns of a plan, of which a terminal has 80. Flags have 17.
const (
	forAt     = 9
	barAt     = 2 * forAt
	barWidth  = 12
	textAt    = barAt + barWidth + 2
	textWidth = 29
	flagAt    = textAt + textWidth + 2
)

// plan is a table of what a stop will do, for people: a line for each stage,
// with a bar to scale between its numbers and what it is.
func plan(stages []lifecycle.Stage) string {
	footer := "Each time is the latest there can be: an early end brings the rest forward.\n"
	total, cells, open := time.Microsecond, time.Duration(barWidth), false // open: a stage may take for ever
	for _, s := range stages {
		if !open {
			total = max(total, s.At+s.Takes)
		}
		if s.Takes < 0 {
			open, cells = true, barWidth*2/3 // the open end is the rest of the bar
			footer = "The app may take as long as it needs: what has no time here follows its end.\n"
		}
	}
	half := total / cells / 2 // of a cell
	open = false
	t := table{text: "at       for\n"}
	for _, s := range stages {
		t.flag = s.Flag
		if !open { // nobody knows when the app has ended
			t.put(0, s.At.String()+" ")
		}
		from, to, bar := int(s.At/half+1)/2, int((s.At+s.Takes)/half+1)/2, "█"
		switch {
		case s.Takes > 0:
			t.put(forAt, s.Takes.String()+" ")
		case s.Takes < 0:
			t.put(forAt, "no limit")
			to, bar = barWidth, "░"
		default:
			bar = "▏"
		}
		if from = min(from, barWidth-1); !open {
			t.put(barAt+from, strings.Repeat(bar, max(to-from, 1)))
		}
		open = open || s.Takes < 0
		t.wrap(printable.Line(s.What))
	}
	return t.text + footer
}

// table is text in columns.
type table struct {
	text   string
	column int    // where the next character goes
	flag   string // ends the first line of a row
}

// put writes s at a column, or where the line ends if that is further right.
//
//go:noinline
func (t *table) put(column int, s string) {
	column = max(column, t.column)
	t.text += strings.Repeat(" ", column-t.column) + s
	t.column = column + utf8.RuneCountInString(s)
}

// wrap writes text into its column, and ends the row. A new line begins at a
// blank, or within a word that is too long, or where numbers are.
func (t *table) wrap(text string) {
	for rest := text; ; text = rest {
		n := len(text)
		if n > textWidth {
			n = strings.LastIndexByte(text[:textWidth+1], ' ')
			if n <= 0 {
				for n = textWidth; !utf8.RuneStart(text[n]); {
					n--
				}
			}
		}
		if t.column > textAt {
			n = 0
		}
		rest = strings.TrimPrefix(text[n:], " ")
		if n > 0 {
			t.put(textAt, text[:n])
		}
		if t.flag != "" {
			t.put(flagAt, t.flag)
		}
		t.text += "\n"
		t.column, t.flag = 0, ""
		if rest == "" {
			return
		}
	}
}
