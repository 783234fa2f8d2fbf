// Package event defines what usher reports about itself: each event's name, its
// level, its fields and its text. The log and the timeline show the same
// events. docs/reference/events.md is made from the table.
package event

import (
	"strconv"
	"time"

	"usher/internal/json"
	"usher/internal/printable"
)

// Level is how important an event is.
type Level uint8

const (
	Error  Level = iota // shown always
	Info                // shown unless -q is given
	Debug               // shown with -v
	Silent              // in the timeline only
)

// String returns the level's name in the JSON log.
func (l Level) String() string { return [...]string{"error", "info", "debug", "silent"}[l] }

// Event is one thing that has happened. The JSON leaves out a field that is
// zero, except ExitCode if the event's text or its list of fields has it.
type Event struct {
	_    [0]func() // not comparable, or the compiler would make a function for that
	Kind Kind
	At   time.Time

	Phase     string // phase of usher
	Signal    string // "SIGTERM"
	Sender    string // sender of Signal
	SentAs    string // the signal that the app got for it
	Check     string // "ready-1"
	Hook      string // "pre-start-1"
	Command   string
	Processes string // "nginx (pid 7), sh (pid 9)"
	Reason    string // what went wrong, or why
	Meant     string // what a misspelt name was probably meant to be
	Message   string // the text, if the event has none of its own; in JSON it is msg
	Took      time.Duration
	Limit     time.Duration
	Quiet     time.Duration // --quiet-period
	PID       int
	ExitCode  int
	Count     int
}

// Name returns the event's name in the JSON log and in the timeline. Several
// kinds may have one name, with a text each.
func (k Kind) Name() string { return table[k].name }

// Level returns the level of the kind.
func (k Kind) Level() Level { return table[k].level }

// Text returns the event as one line for people.
func (e *Event) Text() string { return e.fill(table[e.Kind].text, 0) }

// InTimeline reports whether the timeline keeps the event.
func (e *Event) InTimeline() bool { return table[e.Kind].short != "" }

// Short returns the event as a part of the timeline's one line; at is the time
// since usher's start.
func (e *Event) Short(at time.Duration) string { return e.fill(table[e.Kind].short, at) }

// AppendFields adds the event's name and its fields to a JSON object.
func (e *Event) AppendFields(o *json.Object) {
	o.String("event", e.Kind.Name())
	for f := range fields {
		if !uses(e.Kind, f) || f == message {
			continue
		}
		switch name := names[f]; {
		case f < seconds:
			o.String(name, *e.text(f))
		case f < pid:
			o.Seconds(name, e.time(f))
		case f == exitCode || e.has(f):
			o.Int(name, int64(e.number(f)))
		}
	}
}

// field identifies a field of Event.
type field uint8

const (
	phase field = iota // texts
	signal
	sender
	sentAs
	checkName
	hook
	command
	processes
	reason
	meant
	message
	seconds // times
	limitSeconds
	quietSeconds
	pid // numbers
	exitCode
	count
	fields
)

// names are the fields' names in JSON, and in the texts of the table.
var names = [fields]string{"phase", "signal", "sender", "sentAs", "check", "hook", "command", "processes", "reason",
	"meant", "message", "seconds", "limitSeconds", "quietSeconds", "pid", "exitCode", "count"}

// text returns a pointer to a field that is a text.
func (e *Event) text(f field) *string {
	return [...]*string{&e.Phase, &e.Signal, &e.Sender, &e.SentAs, &e.Check,
		&e.Hook, &e.Command, &e.Processes, &e.Reason, &e.Meant, &e.Message}[f]
}

// time returns the value of a field that is a time.
func (e *Event) time(f field) time.Duration {
	return [...]time.Duration{e.Took, e.Limit, e.Quiet}[f-seconds]
}

// number returns the value of a field that is a number.
func (e *Event) number(f field) int { return [...]int{e.PID, e.ExitCode, e.Count}[f-pid] }

// has reports whether a field is not zero.
func (e *Event) has(f field) bool {
	switch {
	case f < seconds:
		return *e.text(f) != ""
	case f < pid:
		return e.time(f) != 0
	}
	return e.number(f) != 0
}

// shown returns a field's value for people. Measured times are rounded,
// settings are not.
func (e *Event) shown(f field) string {
	switch {
	case f < seconds:
		return *e.text(f)
	case f == seconds:
		return printable.Round(e.Took).String()
	case f < pid:
		return e.time(f).String()
	}
	return strconv.Itoa(e.number(f))
}
