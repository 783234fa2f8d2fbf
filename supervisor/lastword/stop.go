package lastword

import (
	"time"

	"usher/internal/printable"
)

// Stop describes the course of a stop, as far as it went.
type Stop struct {
	Signal, Sender string // the signal that began the stop, and its sender
	Hold           time.Duration
	HoldOver       string        // why the hold ended early or did not begin; "" if it lasted its whole time
	Held           time.Duration // how long the hold lasted
	Drained        string        // how the drain went; "" if there was none, or nothing to wait for
	Between        bool          // the hold is over, and the app has got no signal yet
	Sent           string        // the signal that the app got; "" while it has got none
	Took           time.Duration // from that signal to the end of the app
	Grace          time.Duration // time from the stop signal to SIGKILL; 0 if the app got no SIGKILL
	Over           bool          // the app has ended
	Doing          string        // the step after the hold, while Sent is ""
	Steps          []string      // further signals that the app got, and when
}

// String describes the course of the stop in one phrase.
func (s *Stop) String() string {
	b := s.Signal + " from " + s.Sender
	switch {
	case s.Sent == "" && s.Over && s.Held < 0:
		return b + ", when the app was gone already"
	case s.Sent == "" && s.Over && !s.Between:
		return b + ", app gone after " + printable.Round(s.Held).String() +
			" of a hold of " + printable.Round(s.Hold).String()
	case s.Sent == "" && !s.Between:
		return b + ", being held back for " + printable.Round(s.Hold).String()
	case s.Hold > 0 && s.HoldOver != "" && s.Held == 0:
		b += ", not held back: " + s.HoldOver
	case s.Hold > 0 && s.HoldOver != "":
		b += ", held back for " + printable.Round(s.Held).String() +
			" of at most " + printable.Round(s.Hold).String() + " (" + s.HoldOver + ")"
	case s.Hold > 0:
		b += ", held back for " + printable.Round(s.Held).String()
	}
	if s.Drained != "" {
		b += ", " + s.Drained
	}
	b += each(", ", s.Steps)
	if s.Grace > 0 {
		b += ", SIGKILL after " + printable.Round(s.Grace).String()
	}
	doing := ""
	if s.Doing != "" {
		doing = " (" + s.Doing + ")"
	}
	switch {
	case s.Between && s.Over:
		return b + ", app gone before it got a signal" + doing
	case s.Between:
		return b + ", app had got no signal" + doing
	case s.Over:
		return b + ", app gone " + printable.Round(s.Took).String() + " after " + s.Sent
	}
	return b + ", app had not ended after " + s.Sent
}
