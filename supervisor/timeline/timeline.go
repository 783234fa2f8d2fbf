// Package timeline keeps what happened since usher's start, for /timeline, the
// last word and the log's last line.
package timeline

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"usher/internal/json"
	"usher/internal/printable"
	"usher/supervisor/event"
)

// Bounds, however long usher runs and however often the app's health changes.
const (
	most    = 96  // number of events
	first   = 24  // number of events that stay when others are dropped: those of the start
	longest = 200 // bytes of a text, such as an error's
)

// Timeline has the events in order. A nil Timeline keeps nothing. Its methods
// may be called from any goroutine.
type Timeline struct {
	Began time.Time // usher's start

	mu      sync.Mutex
	events  []*event.Event // the events themselves are never changed
	dropped int            // number of events dropped after the first ones
}

// New returns a Timeline that counts from began.
func New(began time.Time) *Timeline { return &Timeline{Began: began} }

// Add keeps an event, if it belongs into the timeline.
func (t *Timeline) Add(e *event.Event) {
	if t == nil || !e.InTimeline() {
		return
	}
	if e.At.IsZero() {
		e.At = time.Now()
	}
	if len(e.Reason)+len(e.Message)+len(e.Processes) > longest {
		short := *e
		short.Reason, short.Message, short.Processes = shorten(e.Reason), shorten(e.Message), shorten(e.Processes)
		e = &short
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.events) == most {
		t.events = append(t.events[:first], t.events[first+1:]...)
		t.dropped++
	}
	t.events = append(t.events, e)
}

// shorten returns a copy of the part of a long text that is shown, so that the
// rest can be freed.
func shorten(s string) string {
	if len(s) <= longest {
		return s
	}
	cut := longest
	for s[cut]&0xc0 == 0x80 { // in the middle of a character
		cut--
	}
	return strings.Clone(s[:cut]) + "…"
}

// AppendText appends a line for each event: when it happened, in seconds since
// usher's start, and its text.
func (t *Timeline) AppendText(b []byte) []byte {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i, e := range t.events {
		if i == first && t.dropped > 0 {
			b = fmt.Appendf(b, "           … %d events are no longer known\n", t.dropped)
		}
		b = fmt.Appendf(b, "%9.3fs %s\n", e.At.Sub(t.Began).Seconds(), printable.Line(e.Text()))
	}
	return b
}

// AppendJSON appends one object: when usher began, the events, and how many of
// them were dropped.
func (t *Timeline) AppendJSON(b []byte) []byte {
	o := json.Object(b)
	o.Begin("", '{')
	o.String("began", t.Began.UTC().Format("2006-01-02T15:04:05.000Z"))
	o.Begin("events", '[')
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, element := range t.elements() {
		o.Name("")
		o = append(o, element...)
	}
	o.End(']')
	o.Uint("dropped", uint64(t.dropped))
	o.End('}')
	return append(o, '\n')
}

// Elements returns a JSON object for each event.
func (t *Timeline) Elements() [][]byte {
	if t == nil {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.elements()
}

func (t *Timeline) elements() [][]byte {
	list := make([][]byte, len(t.events))
	for i, e := range t.events {
		var o json.Object
		o.Begin("", '{')
		o.Moment("at", e.At.Sub(t.Began))
		e.AppendFields(&o)
		o.End('}')
		list[i] = o
	}
	return list
}

// Line returns the timeline as one line: "wait-for 16ms · started 20ms · ready
// 1.2s".
func (t *Timeline) Line() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	parts := make([]string, 0, most)
	for i, e := range t.events {
		if i == first && t.dropped > 0 {
			parts = append(parts, "…")
		}
		parts = append(parts, e.Short(e.At.Sub(t.Began)))
	}
	return strings.Join(parts, " · ")
}
