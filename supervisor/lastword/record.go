// Package lastword says why a container ended: the record of it, and the termination log that Kubernetes reads.
package lastword

import (
	"fmt"
	"strings"
	"time"
)

// Reason is the first word of the message, in the form of Kubernetes' own container reasons.
type Reason string

const (
	Completed   Reason = "Completed"   // the app exited with 0
	Error       Reason = "Error"       // the app exited with another code
	Signaled    Reason = "Signaled"    // a signal killed the app
	StopTimeout Reason = "StopTimeout" // the stop took longer than was granted
	StartError  Reason = "StartError"  // the app could not be started
)

// Record is what there is to say.
type Record struct {
	Reason Reason
	// Message is for StartError: what went wrong.
	Message string
	// Hint is for StartError, too: what to do about it; "" is nothing.
	Hint string
	// ExitCode is usher's own, which is the app's where it has one.
	ExitCode int
	// Signal killed the app, such as "SIGSEGV"; "" if none did.
	Signal string
	// Core is set where the kernel says that a core was dumped.
	Core bool
	// Uptime of the app.
	Uptime time.Duration
	// Stop is nil where none was asked for.
	Stop *Stop
}

// Stop is how a stop went, as far as it went.
type Stop struct {
	Signal, Sender string // what began it, and who sent that
	Hold           time.Duration
	HoldOver       string        // why the hold ended early or there was none; "" if it ran its time
	Held           time.Duration // how long it was
	Told           string        // the signal the app got; "" while it has got none
	Took           time.Duration // from then to the end of the app
	Grace          time.Duration // when the app was sent SIGKILL, counted from the stop signal; 0 if it was not
	Over           bool          // the app is gone
}

// String is the record as one line for people, the most important first.
func (r Record) String() string {
	var b strings.Builder
	b.WriteString(string(r.Reason) + ": ")
	switch {
	case r.Message != "":
		fmt.Fprintf(&b, "%s (exit code %d)", r.Message, r.ExitCode)
		if r.Hint != "" {
			b.WriteString("; hint: " + r.Hint)
		}
		return oneLine(b.String())
	case r.Stop != nil && !r.Stop.Over:
		b.WriteString("ended from outside in the middle of a stop")
	case r.Signal != "":
		fmt.Fprintf(&b, "killed by %s", r.Signal)
		if r.Core {
			b.WriteString(", core dumped")
		}
		fmt.Fprintf(&b, " (exit code %d)", r.ExitCode)
	default:
		fmt.Fprintf(&b, "exit code %d", r.ExitCode)
	}
	fmt.Fprintf(&b, "; uptime %s", Round(r.Uptime))
	if r.Stop != nil {
		b.WriteString("; " + r.Stop.String())
	}
	return oneLine(b.String())
}

// String is the course of the stop in one phrase.
func (s *Stop) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s from %s", s.Signal, s.Sender)
	switch {
	case s.Told == "" && s.Over:
		fmt.Fprintf(&b, ", app gone after %s of a hold of %s", Round(s.Held), Round(s.Hold))
		return b.String()
	case s.Told == "":
		fmt.Fprintf(&b, ", being held back for %s", Round(s.Hold))
		return b.String()
	case s.Hold > 0 && s.HoldOver != "" && s.Held == 0:
		fmt.Fprintf(&b, ", not held back: %s", s.HoldOver)
	case s.Hold > 0 && s.HoldOver != "":
		fmt.Fprintf(&b, ", held back for %s (%s)", Round(s.Held), s.HoldOver)
	case s.Hold > 0:
		fmt.Fprintf(&b, ", held back for %s", Round(s.Held))
	}
	if s.Grace > 0 {
		fmt.Fprintf(&b, ", SIGKILL after %s", Round(s.Grace))
	}
	switch {
	case s.Over:
		fmt.Fprintf(&b, ", app gone %s after %s", Round(s.Took), s.Told)
	default:
		fmt.Fprintf(&b, ", app had not ended after %s", s.Told)
	}
	return b.String()
}

// Round cuts a duration to what people read: three digits or so.
func Round(d time.Duration) time.Duration {
	switch {
	case d >= time.Minute:
		return d.Round(time.Second)
	case d >= time.Second:
		return d.Round(100 * time.Millisecond)
	case d >= time.Millisecond:
		return d.Round(time.Millisecond)
	}
	return d.Round(time.Microsecond)
}

func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, s)
}
