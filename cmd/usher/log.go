package main

import (
	"fmt"
	"math"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"usher/internal/json"
	"usher/internal/printable"
	"usher/signals"
	"usher/supervisor/event"
	"usher/supervisor/timeline"
)

const (
	// room is the number of entries that may wait for stderr: a line each, or the
	// lines that a command has written at once.
	room = 256
	// roomBytes is the number of bytes that may wait before usher stops reading the
	// output of commands.
	roomBytes = 256 << 10
	// flushTime limits how long usher's exit waits for a stalled reader of stderr.
	flushTime = 200 * time.Millisecond
)

// logger writes events to stderr, one line and one write each, on a goroutine
// of its own: the reader of stderr may stall, and usher must not stall with it.
// A line that finds no room is dropped, and the next line that finds room
// reports the number of dropped lines. The goroutine starts with the first
// line, because a plain run has no line.
type logger struct {
	level event.Level // events above it are not shown
	json  bool
	lines chan string // one or more complete lines
	done  atomic.Bool

	timeline *timeline.Timeline // nil keeps nothing

	waiting atomic.Int64 // bytes in lines

	mu      sync.Mutex
	begun   bool
	dropped int
}

func newLogger(l event.Level, json bool) *logger {
	return &logger{level: l, json: json, lines: make(chan string, room)}
}

// Keep has all events put in a timeline, too.
func (l *logger) Keep(t *timeline.Timeline) { l.timeline = t }

// Event logs an event, unless its level is not shown.
func (l *logger) Event(e *event.Event) {
	l.timeline.Add(e)
	if e.Kind.Level() <= l.level {
		l.put(l.line(e))
	}
}

func (l *logger) Errorf(format string, args ...any) { l.log(event.Problem, format, args) }
func (l *logger) Infof(format string, args ...any)  { l.log(event.Notice, format, args) }
func (l *logger) Debugf(format string, args ...any) { l.log(event.Detail, format, args) }

func (l *logger) log(kind event.Kind, format string, args []any) {
	if kind.Level() <= l.level {
		l.put(l.line(&event.Event{Kind: kind, Message: fmt.Sprintf(format, args...)}))
	}
}

func (l *logger) Verbose() bool { return l.level >= event.Debug }

// line formats an event as one line of the log.
func (l *logger) line(e *event.Event) string {
	if !l.json {
		return "usher: " + printable.Line(e.Text()) + "\n"
	}
	o := beginLine(e.Kind.Level())
	e.AppendFields(&o)
	return endLine(o, e.Text())
}

// hookLine formats one line of output of the command with that name.
func (l *logger) hookLine(hook, msg string) string {
	if !l.json {
		return hook + ": " + printable.Tabbed(msg) + "\n"
	}
	o := beginLine(event.Info)
	o.String("hook", hook)
	return endLine(o, msg)
}

func beginLine(level event.Level) (o json.Object) {
	o.Begin("", '{')
	o.String("time", time.Now().UTC().Format("2006-01-02T15:04:05.000Z"))
	o.String("level", level.String())
	return o
}

func endLine(o json.Object, msg string) string {
	o.Name("msg")
	o = json.AppendString(o, msg, math.MaxInt)
	o.End('}')
	return string(append(o, '\n'))
}

// Output logs what a command beside the app has written: complete lines, each
// after the command's name. These are not usher's own events, so no level
// silences them.
func (l *logger) Output(name, lines string) {
	var b strings.Builder
	for line := range strings.Lines(lines) {
		b.WriteString(l.hookLine(name, strings.TrimSuffix(line, "\n")))
	}
	l.put(b.String())
}

// Stalled reports whether half of the room is taken, or too many bytes wait.
// The bytes count separately, because lines become longer here.
func (l *logger) Stalled() bool { return len(l.lines) > room/2 || l.waiting.Load() > roomBytes }

// put queues one or more complete lines.
func (l *logger) put(line string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.begun {
		l.begun = true
		go l.write()
	}
	lost := ""
	if l.dropped > 0 {
		lost = l.line(&event.Event{Kind: event.LinesLost, Count: l.dropped})
	}
	select {
	case l.lines <- lost + line:
		l.dropped = 0
		l.waiting.Add(int64(len(lost + line)))
	default:
		l.dropped += strings.Count(line, "\n")
	}
}

func (l *logger) write() {
	for lines := range l.lines {
		writeLines(lines)
		l.waiting.Add(-int64(len(lines)))
	}
	l.done.Store(true)
}

// writeLines writes each line by itself, so that lines of other writers can
// come between them, but not into one.
func writeLines(lines string) {
	for line := range strings.Lines(lines) {
		writeAll(2, []byte(line))
	}
}

// flush ends the log and waits for the remaining lines to be written, for at
// most flushTime. It is the last step before the exit. It waits as the loop
// does, without a timer of Go's: the first timer opens descriptors, and the
// runtime dies if there are none left.
func (l *logger) flush(source signals.Source) {
	l.mu.Lock() // never unlocked: goroutines that log now wait for the exit
	if !l.begun {
		return
	}
	close(l.lines)
	for deadline := time.Now().Add(flushTime); !l.done.Load() && time.Now().Before(deadline); {
		source.Wait(time.Millisecond)
	}
}

// writeAll writes b to fd and reports whether it could. It does not use
// os.File, which dies of SIGPIPE for 1 and 2, and would make the app's own
// descriptors non-blocking.
func writeAll(fd int, b []byte) bool {
	for len(b) > 0 {
		n, err := unix.Write(fd, b)
		switch err {
		case nil:
			b = b[n:]
		case unix.EINTR:
		case unix.EAGAIN: // the app has made it non-blocking
			_, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}, -1)
			if err != nil && err != unix.EINTR {
				return false
			}
		default:
			return false
		}
	}
	return true
}
