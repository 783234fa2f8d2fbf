package lastword

import (
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"usher/internal/printable"
)

// AppendString appends s as a JSON string (RFC 8259) whose inside takes at most room bytes; what is not printable
// is escaped, and what is no UTF-8 becomes U+FFFD. It is here because
// encoding/json is half a megabyte.
func AppendString(b []byte, s string, room int) []byte {
	b = append(b, '"')
	for _, r := range s { // an invalid byte is utf8.RuneError
		if room -= encodedLen(r); room < 0 {
			break
		}
		switch {
		case r == '"' || r == '\\':
			b = append(b, '\\', byte(r))
		case r == '\n':
			b = append(b, '\\', 'n')
		case r == '\t':
			b = append(b, '\\', 't')
		case printable.Rune(r) != r:
			const hex = "0123456789abcdef"
			b = append(b, '\\', 'u', hex[r>>12], hex[r>>8&15], hex[r>>4&15], hex[r&15])
		default:
			b = utf8.AppendRune(b, r)
		}
	}
	return append(b, '"')
}

// encodedLen is how many bytes of a JSON string r takes.
func encodedLen(r rune) int {
	switch {
	case r == '"' || r == '\\' || r == '\n' || r == '\t':
		return 2
	case printable.Rune(r) != r: // none of these is above U+FFFF
		return 6
	}
	return utf8.RuneLen(r)
}

// object is a JSON object in the making. Members that are zero are left out.
type object []byte

// most is how much of a string that may be long is taken: an error, a hook's last line.
const most = 800

func (o *object) name(name string) {
	if b := *o; len(b) > 0 && b[len(b)-1] != '{' && b[len(b)-1] != '[' {
		*o = append(*o, ',')
	}
	if name != "" {
		*o = append(AppendString(*o, name, most), ':')
	}
}

func (o *object) begin(name string, bracket byte) {
	o.name(name)
	*o = append(*o, bracket)
}

func (o *object) end(bracket byte) { *o = append(*o, bracket) }

func (o *object) string(name, s string) {
	if s != "" {
		o.name(name)
		*o = AppendString(*o, s, most)
	}
}

func (o *object) uint(name string, n uint64) {
	if n != 0 {
		o.name(name)
		*o = strconv.AppendUint(*o, n, 10)
	}
}

func (o *object) bool(name string, set bool) {
	if set {
		o.name(name)
		*o = append(*o, "true"...)
	}
}

// seconds has milliseconds.
func (o *object) seconds(name string, d time.Duration) {
	if d > 0 {
		o.name(name)
		*o = strconv.AppendFloat(*o, math.Round(d.Seconds()*1000)/1000, 'f', -1, 64)
	}
}

func (o *object) processes(name string, procs []Process) {
	if len(procs) == 0 {
		return
	}
	o.begin(name, '[')
	for _, p := range procs[:min(len(procs), listed)] {
		o.begin("", '{')
		o.uint("pid", uint64(p.PID))
		o.string("name", p.Name)
		o.string("state", p.State)
		o.string("waitsIn", p.WaitsIn)
		o.end('}')
	}
	o.end(']')
}

// appendJSON is the record as a JSON object in Size bytes at most, with what the app has written to the log and to stderr, as far as
// there is room: of the one the beginning, of the other the end.
func (r *Record) appendJSON(app []byte) []byte {
	o := object(make([]byte, 0, Size))
	o.begin("", '{')
	o.string("reason", string(r.Reason))
	o.bool("endedFromOutside", r.Ahead)
	if !r.Ahead {
		o.name("exitCode")
		o = strconv.AppendInt(o, int64(r.ExitCode), 10)
	}
	o.uint("appExitCode", uint64(r.AppCode))
	o.string("message", r.Message)
	o.string("hint", r.Hint)
	o.string("signal", r.Signal)
	o.string("sender", r.Sender)
	o.bool("coreDumped", r.Core)
	o.string("phase", r.Phase)
	o.seconds("uptimeSeconds", r.Uptime)
	o.uint("restarts", uint64(r.Restarts))
	if s := r.Stop; s != nil {
		o.begin("stop", '{')
		o.string("signal", s.Signal)
		o.string("sender", s.Sender)
		o.seconds("holdSeconds", s.Hold)
		o.seconds("heldSeconds", s.Held)
		o.string("holdEnded", s.HoldOver)
		o.string("drain", s.Drained)
		o.string("doing", s.Doing)
		o.string("sent", s.Told)
		o.string("sentThen", strings.Join(s.Steps, ", "))
		o.seconds("tookSeconds", s.Took)
		o.seconds("killedAfterSeconds", s.Grace)
		o.end('}')
	}
	if m := &r.Memory; *m != (Memory{}) {
		o.begin("memory", '{')
		o.uint("kills", uint64(m.Kills))
		o.string("victim", m.Victim)
		o.bool("killsWholeContainer", m.Whole)
		o.bool("notByOwnLimit", m.Elsewhere)
		if !m.Reached.IsZero() {
			o.string("limitReachedAt", m.Reached.UTC().Format(time.RFC3339))
		}
		o.string("largest", m.Largest)
		o.uint("limitBytes", m.Limit)
		o.uint("peakBytes", m.Peak)
		o.uint("usedBytes", m.Usage)
		o.end('}')
	}
	o.uint("peakMemoryBytes", r.RSS)
	o.seconds("cpuSeconds", r.CPU)
	o.processes("stillThere", r.StillThere)
	o.processes("killed", r.Killed)
	o.string("note", strings.Join(r.Notes, "; "))
	const around = len(`,"":""}` + "\n")
	if room := Size - len(o) - around - len("appMessage"); len(app) > 0 && room > 0 {
		o.name("appMessage")
		o = AppendString(o, string(app), room)
	}
	if room := Size - len(o) - around - len("stderr"); len(r.Stderr) > 0 && room > 0 {
		o.name("stderr")
		o = AppendString(o, string(lastThat(r.Stderr, room, encodedLen)), room)
	}
	o.end('}')
	return append(o, '\n')
}

// lastThat is the end of b that takes up to room as length counts it: whole lines, if there is one that fits.
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
