// Package lastword reports why a container ended: it has the record of that,
// and writes the termination log that Kubernetes reads.
package lastword

import (
	"strconv"
	"time"
	"unicode/utf8"

	"usher/internal/printable"
)

// Reason is the first word of the message, in the form of Kubernetes' own
// reasons for a container's end.
type Reason string

const (
	Completed   Reason = "Completed"   // the app exited with 0, or with a code that --exit-code maps to 0
	Error       Reason = "Error"       // the app exited with another code
	Signaled    Reason = "Signaled"    // a signal killed the app
	OOMKilled   Reason = "OOMKilled"   // the kernel killed the app because memory ran out
	StopTimeout Reason = "StopTimeout" // the stop took longer than was granted
	StartError  Reason = "StartError"  // the app could not be started
	HookFailed  Reason = "HookFailed"  // a hook failed, and the app was not started or was stopped because of it
	WaitTimeout Reason = "WaitTimeout" // a check of --wait-for did not hold in time
	Unhealthy   Reason = "Unhealthy"   // usher stopped the app because a live check failed
)

// Record is what usher knows about the end. A zero field is unknown, or not the
// case, and is left out.
type Record struct {
	Reason Reason
	// Message says what went wrong before or beside the app's end: in the start, a
	// hook, a wait, a check.
	Message string
	// Hint says what the user can do about it.
	Hint string
	// Ahead is set while the app lives: the record will be true if the kernel kills
	// usher next, together with all other processes.
	Ahead bool
	// ExitCode is usher's own exit code, which is the app's if the app has one.
	ExitCode int
	// AppCode is the app's exit code if ExitCode differs from it. 0 is not
	// mentioned.
	AppCode int
	// Signal killed the app, such as "SIGSEGV".
	Signal string
	// Sender is the sender of Signal, if the signal came through usher.
	Sender string
	// Core is set if the kernel reports that it dumped a core.
	Core bool
	// Phase is the phase of usher's stop in which the app ended: running, holding,
	// ….
	Phase string
	// Uptime of the app.
	Uptime time.Duration
	// Restarts of the app.
	Restarts int
	// CPU is the CPU time of the app, and of those of its children for which it has
	// waited.
	CPU time.Duration
	// RSS is the largest resident memory of the app, or of one of those children,
	// in bytes.
	RSS uint64
	// Memory is about the container's memory.
	Memory Memory
	// Stop is about the stop. It is nil if no stop was requested.
	Stop *Stop
	// StillThere are the processes that had not ended when the stop's time was up.
	StillThere []Process
	// Killed are the processes that outlived the app and their straggler grace
	// period.
	Killed []Process
	// Notes are further things that went wrong.
	Notes []string
	// Timeline has a JSON object for each event.
	Timeline [][]byte
	// Stderr is the end of what the app has written to stderr.
	Stderr []byte
}

// Memory describes the memory of the container's control group.
type Memory struct {
	Limit, Usage, Peak uint64    // in bytes
	Reached            time.Time // when the memory reached Limit; zero if it is below Limit again
	Largest            string    // largest process at that time: "java (pid 7) 118Mi"
	Kills              int       // number of processes that the kernel killed because memory ran out
	Victim             string    // the last process that it killed: "java (pid 7)"
	Whole              bool      // the kernel kills the whole container, with usher
	Elsewhere          bool      // not Limit was reached, but the limit of the pod, or the node's memory
}

// Process is a process that did not end in time.
type Process struct {
	PID     int
	Name    string
	State   string // as ps shows it: a process in D waits in the kernel, and can't be killed
	WaitsIn string // the kernel function in which it waits, if usher may read that
}

// appendText returns the record as text for people, in at most Size bytes. As
// far as there is room, it has the beginning of what the app has written to the
// log, and the end of what the app has written to stderr.
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

// String returns the record as one line for people, the most important first.
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

// String describes a memory shortage.
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

// listed is the largest number of processes that are named.
const listed = 5

// list names the first few processes, for people.
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

// Bytes returns a size in the form that Kubernetes uses, with about three
// digits: 118Mi, 1.5Gi.
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

// each returns the items of a list, each after a separator.
func each(separator string, items []string) (b string) {
	for _, item := range items {
		b += separator + item
	}
	return b
}
