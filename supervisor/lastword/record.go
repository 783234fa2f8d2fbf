// Package lastword says why a container ended: the record of it, and the termination log that Kubernetes reads.
package lastword

import (
	"strconv"
	"time"
	"unicode/utf8"

	"usher/internal/printable"
)

// Reason is the first word of the message, in the form of Kubernetes' own container reasons.
type Reason string

const (
	Completed   Reason = "Completed"   // the app exited with 0, or with what --exit-code makes 0
	Error       Reason = "Error"       // the app exited with another code
	Signaled    Reason = "Signaled"    // a signal killed the app
	OOMKilled   Reason = "OOMKilled"   // the kernel killed the app for want of memory
	StopTimeout Reason = "StopTimeout" // the stop took longer than was granted
	StartError  Reason = "StartError"  // the app could not be started
	HookFailed  Reason = "HookFailed"  // a hook failed, and the app was not started or was stopped for it
	WaitTimeout Reason = "WaitTimeout" // what the app was to wait for did not come in time
	Unhealthy   Reason = "Unhealthy"   // usher stopped the app because a live check failed
)

// Record is what there is to say. What is zero is not known, or not so, and is left out.
type Record struct {
	Reason Reason
	// Message says what went wrong where it is not the app's end: the start, a hook, a wait, a check.
	Message string
	// Hint is what to do about it.
	Hint string
	// Ahead is set while the app lives: the record is what will be true should usher be killed next, with all others.
	Ahead bool
	// ExitCode is usher's own, which is the app's where it has one.
	ExitCode int
	// AppCode is the app's exit code where ExitCode is another one; 0 is not worth a word.
	AppCode int
	// Signal killed the app, such as "SIGSEGV".
	Signal string
	// Sender of Signal, where it came through usher.
	Sender string
	// Core is set where the kernel says that a core was dumped.
	Core bool
	// Phase is where usher was in its stop when the app ended: running, holding, ….
	Phase string
	// Uptime of the app.
	Uptime time.Duration
	// Restarts of the app.
	Restarts int
	// CPU is the time that the app has used, with its children as far as it has waited for them.
	CPU time.Duration
	// RSS is the most memory the app, or one of those children, had resident, in bytes.
	RSS uint64
	// Memory is the container's.
	Memory Memory
	// Stop is nil where none was asked for.
	Stop *Stop
	// StillThere are the processes that had not ended when the stop's time was over.
	StillThere []Process
	// Killed are the processes that outlived the app, and their grace.
	Killed []Process
	// Notes are what else went wrong.
	Notes []string
	// Timeline is what happened, a JSON object for each event.
	Timeline [][]byte
	// Stderr is the end of what the app has written to it.
	Stderr []byte
}

// Memory is that of the container's control group.
type Memory struct {
	Limit, Usage, Peak uint64    // in bytes
	Reached            time.Time // when Limit was; zero where that is over
	Largest            string    // process at that time: "java (pid 7) 118Mi"
	Kills              int       // of processes, for want of memory
	Victim             string    // the last of them: "java (pid 7)"
	Whole              bool      // the kernel kills the whole container, usher as well
	Elsewhere          bool      // it was not Limit that was reached, but the pod's, or the node's memory
}

// Process is one that did not end.
type Process struct {
	PID     int
	Name    string
	State   string // as ps has it: D is waiting in the kernel, and can't be killed
	WaitsIn string // the kernel's function, where it may be known
}

// Stop is how a stop went, as far as it went.
type Stop struct {
	Signal, Sender string // what began it, and who sent that
	Hold           time.Duration
	HoldOver       string        // why the hold ended early or there was none; "" if it ran its time
	Held           time.Duration // how long it was
	Drained        string        // how the drain went; "" is that there was none, or nothing to wait for
	Between        bool          // the hold is over, and the app has not been told
	Told           string        // the signal the app got; "" while it has got none
	Took           time.Duration // from then to the end of the app
	Grace          time.Duration // when the app was sent SIGKILL, counted from the stop signal; 0 if it was not
	Over           bool          // the app is gone
	Doing          string        // what came after the hold, while Told is ""
	Steps          []string      // what else the app was sent, and when
}

// appendText is the record for people in Size bytes at most, with what the app has written to the log and to stderr, as far as there is
// room: of the one the beginning, of the other the end.
func (r *Record) appendText(app []byte) []byte {
	b := append(truncate([]byte(r.String()), Size-1), '\n')
	b = truncate(append(b, app...), Size)
	const head = "last of stderr:\n"
	if room := Size - len(b) - len(head) - 1; len(r.Stderr) > 0 && room > 0 {
		if b[len(b)-1] != '\n' {
			b = append(b, '\n')
		}
		b = append(b, head...)
		b = append(b, lastThat([]byte(printable.Text(string(r.Stderr))), room, utf8.RuneLen)...)
	}
	return b
}

// String is the record as one line for people, the most important first.
func (r *Record) String() string {
	b := string(r.Reason) + ": "
	code := " (exit code " + strconv.Itoa(r.ExitCode) + ")"
	switch {
	case r.Ahead && r.Stop != nil:
		b += "ended from outside in the middle of a stop"
	case r.Ahead:
		b += "ended from outside"
	case r.Message != "":
		b += r.Message + code
		if r.Hint != "" {
			b += "; hint: " + r.Hint
		}
	case r.Signal != "":
		b += "killed by " + r.Signal
		if r.Sender != "" {
			b += " from " + r.Sender
		}
		if r.Core {
			b += ", core dumped"
		}
		b += code
	default:
		b += "exit code " + strconv.Itoa(r.ExitCode)
		if r.AppCode != 0 {
			b += " (the app's own: " + strconv.Itoa(r.AppCode) + ")"
		}
	}
	switch {
	case r.Memory.Kills > 0 || !r.Memory.Reached.IsZero():
		b += "; " + r.Memory.String()
	case r.Ahead && r.Memory.Whole:
		b += ", or out of memory, which kills the whole container: " + r.Memory.String()
	}
	if r.Uptime > 0 {
		b += "; uptime " + printable.Round(r.Uptime).String()
	}
	if r.Restarts > 0 {
		b += ", restarts " + strconv.Itoa(r.Restarts)
	}
	if r.Stop != nil {
		b += "; " + r.Stop.String()
	}
	b += list("; still there: ", r.StillThere) + list("; killed after it: ", r.Killed) + each("; ", r.Notes)
	if r.RSS > 0 {
		b += "; peak memory " + Bytes(r.RSS) + ", CPU " + printable.Round(r.CPU).String()
	}
	return printable.Line(b)
}

// String is what is known of a shortage.
func (m *Memory) String() string {
	var b string
	switch {
	case m.Kills == 1:
		b = "out of memory: " + m.Victim + " killed, "
	case m.Kills > 1:
		b = "out of memory: " + strconv.Itoa(m.Kills) + " processes killed, the last " + m.Victim + ", "
	}
	switch {
	case m.Elsewhere:
		b += "not at the container's own limit, but the pod's or the node's"
	case m.Limit > 0 && !m.Reached.IsZero():
		b += "memory limit " + Bytes(m.Limit) + " reached at " + m.Reached.UTC().Format(time.RFC3339)
	case m.Limit > 0:
		b += "memory limit " + Bytes(m.Limit)
	default:
		b += "no memory limit"
	}
	if m.Peak > 0 {
		b += ", peak " + Bytes(m.Peak)
	}
	if m.Usage > 0 {
		b += ", used " + Bytes(m.Usage)
	}
	if m.Largest != "" {
		b += ", largest: " + m.Largest
	}
	return b
}

// listed is how many processes are named.
const listed = 5

// list names processes for people, the first few of them.
func list(head string, procs []Process) string {
	var b string
	for _, p := range procs[:min(len(procs), listed)] {
		b += head + p.Name + " (pid " + strconv.Itoa(p.PID)
		if p.State != "" {
			b += ", state " + p.State
		}
		if p.WaitsIn != "" {
			b += ", in " + p.WaitsIn
		}
		b += ")"
		head = ", "
	}
	if n := len(procs) - listed; n > 0 {
		b += " and " + strconv.Itoa(n) + " more"
	}
	return b
}

// String is the course of the stop in one phrase.
func (s *Stop) String() string {
	b := s.Signal + " from " + s.Sender
	switch {
	case s.Told == "" && s.Over && s.Held < 0:
		return b + ", when the app was gone already"
	case s.Told == "" && s.Over && !s.Between:
		return b + ", app gone after " + printable.Round(s.Held).String() + " of a hold of " + printable.Round(s.Hold).String()
	case s.Told == "" && !s.Between:
		return b + ", being held back for " + printable.Round(s.Hold).String()
	case s.Hold > 0 && s.HoldOver != "" && s.Held == 0:
		b += ", not held back: " + s.HoldOver
	case s.Hold > 0 && s.HoldOver != "":
		b += ", held back for " + printable.Round(s.Held).String() + " of at most " + printable.Round(s.Hold).String() + " (" + s.HoldOver + ")"
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
		return b + ", app gone before it was told" + doing
	case s.Between:
		return b + ", app had not been told" + doing
	case s.Over:
		return b + ", app gone " + printable.Round(s.Took).String() + " after " + s.Told
	}
	return b + ", app had not ended after " + s.Told
}

// Bytes is a size as Kubernetes writes it, three digits or so: 118Mi, 1.5Gi.
func Bytes(n uint64) string {
	unit := 0
	tenths := n * 10
	for ; tenths >= 10*1000 && unit < len(units)-1; unit++ {
		tenths = (tenths + 512) / 1024
	}
	b := strconv.FormatUint(tenths/10, 10)
	if tenths < 100 && tenths%10 > 0 {
		b += "." + strconv.FormatUint(tenths%10, 10)
	}
	return b + units[unit]
}

var units = [...]string{"", "Ki", "Mi", "Gi", "Ti"}

// each is the items of a list, each after a separator.
func each(separator string, items []string) (b string) {
	for _, item := range items {
		b += separator + item
	}
	return b
}
