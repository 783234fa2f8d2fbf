package event

import (
	"strings"
	"time"

	"usher/internal/printable"
)

// A text of the table holds fields in braces: "{hook} has failed: {reason}". A
// part in brackets is left out if its field is zero: "ready[ ({count}
// changes)]".

// fill returns a text with the event's values. {at} is the time since usher's
// start.
func (e *Event) fill(text string, at time.Duration) string {
	var b strings.Builder
	for text != "" {
		i := strings.IndexAny(text, "{[")
		if i < 0 {
			b.WriteString(text)
			break
		}
		b.WriteString(text[:i])
		end := "}"
		if text[i] == '[' {
			end = "]"
		}
		inside, rest, _ := strings.Cut(text[i+1:], end)
		switch {
		case end == "]":
			if _, name, _ := strings.Cut(inside, "{"); e.has(parseField(name)) {
				b.WriteString(e.fill(inside, at))
			}
		case inside == "at":
			b.WriteString(printable.Round(at).String())
		default:
			b.WriteString(e.shown(parseField(inside)))
		}
		text = rest
	}
	return b.String()
}

// parseField returns the field with whose name s begins.
func parseField(s string) field {
	name, _, _ := strings.Cut(s, "}")
	for f := range fields {
		if names[f] == name {
			return f
		}
	}
	panic("event: no field " + name)
}

// uses reports whether an event of that kind has the field.
func uses(k Kind, f field) bool {
	d := &table[k]
	return strings.Contains(d.text, "{"+names[f]+"}") || strings.Contains(d.also, "{"+names[f]+"}")
}
