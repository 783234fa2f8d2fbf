package lastword

import (
	"strings"
	"time"
	"unicode/utf8"

	"usher/internal/json"
)

func addProcesses(o *json.Object, name string, procs []Process) {
	if len(procs) == 0 {
		return
	}
	o.Begin(name, '[')
	for _, p := range procs[:min(len(procs), listed)] {
		o.Begin("", '{')
		o.Uint("pid", uint64(p.PID))
		o.String("name", p.Name)
		o.String("state", p.State)
		o.String("waitsIn", p.WaitsIn)
		o.End('}')
	}
	o.End(']')
}

// addTimeline adds the last events, those of the stop, as many as fit into
// room.
func addTimeline(o *json.Object, events [][]byte, room int) {
	room -= len(`,"timeline":[]`)
	first := len(events)
	for first > 0 && room > len(events[first-1]) {
		first--
		room -= len(events[first]) + len(",")
	}
	if first == len(events) {
		return
	}
	o.Begin("timeline", '[')
	for _, e := range events[first:] {
		o.Name("")
		*o = append(*o, e...)
	}
	o.End(']')
}

// appendJSON returns the record as a JSON object of at most Size bytes. As far
// as there is room, it has the beginning of what the app has written to the
// log, and the end of what the app has written to stderr.
func (r *Record) appendJSON(app []byte) []byte {
	o := json.Object(make([]byte, 0, Size))
	o.Begin("", '{')
	o.String("reason", string(r.Reason))
	o.Bool("endedFromOutside", r.Ahead)
	if !r.Ahead {
		o.Int("exitCode", int64(r.ExitCode))
	}
	o.Uint("appExitCode", uint64(r.AppCode))
	o.String("message", r.Message)
	o.String("hint", r.Hint)
	o.String("signal", r.Signal)
	o.String("sender", r.Sender)
	o.Bool("coreDumped", r.Core)
	o.String("phase", r.Phase)
	o.Seconds("uptimeSeconds", r.Uptime)
	o.Uint("restarts", uint64(r.Restarts))
	if s := r.Stop; s != nil {
		o.Begin("stop", '{')
		o.String("signal", s.Signal)
		o.String("sender", s.Sender)
		o.Seconds("holdSeconds", s.Hold)
		o.Seconds("heldSeconds", s.Held)
		o.String("holdEnded", s.HoldOver)
		o.String("drain", s.Drained)
		o.String("doing", s.Doing)
		o.String("sent", s.Sent)
		o.String("sentThen", strings.Join(s.Steps, ", "))
		o.Seconds("tookSeconds", s.Took)
		o.Seconds("killedAfterSeconds", s.Grace)
		o.End('}')
	}
	if m := &r.Memory; *m != (Memory{}) {
		o.Begin("memory", '{')
		o.Uint("kills", uint64(m.Kills))
		o.String("victim", m.Victim)
		o.Bool("killsWholeContainer", m.Whole)
		o.Bool("notByOwnLimit", m.Elsewhere)
		if !m.Reached.IsZero() {
			o.String("limitReachedAt", m.Reached.UTC().Format(time.RFC3339))
		}
		o.String("largest", m.Largest)
		o.Uint("limitBytes", m.Limit)
		o.Uint("peakBytes", m.Peak)
		o.Uint("usedBytes", m.Usage)
		o.End('}')
	}
	o.Uint("peakMemoryBytes", r.RSS)
	o.Seconds("cpuSeconds", r.CPU)
	addProcesses(&o, "stillThere", r.StillThere)
	addProcesses(&o, "killed", r.Killed)
	o.String("note", strings.Join(r.Notes, "; "))
	room := Size - len(o) - len("}\n")
	if len(app)+len(r.Stderr) > 0 {
		room /= 2 // the app's messages need room, too
	}
	addTimeline(&o, r.Timeline, room)
	const around = len(`,"":""}` + "\n")
	if room = Size - len(o) - around - len("appMessage"); len(app) > 0 && room > 0 {
		o.Name("appMessage")
		o = json.AppendString(o, string(app), room)
	}
	if room = Size - len(o) - around - len("stderr"); len(r.Stderr) > 0 && room > 0 {
		o.Name("stderr")
		o = json.AppendString(o, string(lastThat(r.Stderr, room, json.EncodedLen)), room)
	}
	o.End('}')
	return append(o, '\n')
}

// lastThat returns the end of b that fits into room, where length counts the
// room of each character. It begins with a whole line if one fits.
func lastThat(b []byte, room int, length func(rune) int) []byte {
	cut, line := len(b), -1
	for cut > 0 {
		r, size := utf8.DecodeLastRune(b[:cut])
		if room -= length(r); room < 0 {
			break
		}
		if cut < len(b) && b[cut-1] == '\n' {
			line = cut
		}
		cut -= size
	}
	if cut > 0 && line >= 0 {
		cut = line
	}
	return b[cut:]
}
