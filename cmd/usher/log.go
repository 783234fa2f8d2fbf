package main

import (
	"fmt"
	"math"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"usher/internal/printable"
	"usher/signals"
	"usher/supervisor/lastword"
)

type level int

const (
	quiet   level = iota // errors only
	normal               // events as well
	verbose              // everything
)

// String is the level of a line.
func (l level) String() string { return [...]string{"error", "info", "debug"}[l] }

const (
	// room is how many lines may wait for stderr, or as many times what a command has written at once.
	room = 256
	// roomBytes is how many bytes may wait before commands have to.
	roomBytes = 256 << 10
	// flushTime is how long the end of usher waits for a reader of stderr that has stalled.
	flushTime = 200 * time.Millisecond
)

// logger writes events to stderr, one line and one write each, from a goroutine of its own: the reader of stderr may stall, and
// usher must not stall with it. What finds no room is dropped, and the next line that does says how many. The goroutine starts
// with the first line, since a plain run has none.
type logger struct {
	level level
	json  bool
	lines chan string // whole lines, one or several
	done  atomic.Bool

	waiting atomic.Int64 // bytes of lines

	mu      sync.Mutex
	begun   bool
	dropped int
}

func newLogger(l level, json bool) *logger {
	return &logger{level: l, json: json, lines: make(chan string, room)}
}

func (l *logger) Errorf(format string, args ...any) { l.log(quiet, format, args...) }
func (l *logger) Infof(format string, args ...any)  { l.log(normal, format, args...) }
func (l *logger) Debugf(format string, args ...any) { l.log(verbose, format, args...) }

func (l *logger) log(at level, format string, args ...any) {
	if at > l.level {
		return
	}
	l.put(l.line(at, "", fmt.Sprintf(format, args...)))
}

func (l *logger) Verbose() bool { return l.level >= verbose }

// line is one line of the log, from a command beside the app if hook is not "".
func (l *logger) line(at level, hook, msg string) string {
	switch {
	case l.json:
		b := []byte(`{"time":"` + time.Now().UTC().Format("2006-01-02T15:04:05.000Z") + `","level":"` + at.String() + `"`)
		if hook != "" {
			b = lastword.AppendString(append(b, `,"hook":`...), hook, math.MaxInt)
		}
		return string(lastword.AppendString(append(b, `,"msg":`...), msg, math.MaxInt)) + "}\n"
	case hook != "":
		return hook + ": " + printable.Tabbed(msg) + "\n"
	}
	return "usher: " + printable.Line(msg) + "\n"
}

// Output passes on what a command beside the app has written, whole lines, each under the command's name. It is not usher's own word, so
// that no level silences it.
func (l *logger) Output(name, lines string) {
	var b strings.Builder
	for line := range strings.Lines(lines) {
		b.WriteString(l.line(normal, name, strings.TrimSuffix(line, "\n")))
	}
	l.put(b.String())
}

// Stalled reports whether half of the room is taken, or many bytes wait: a command's empty lines are longer here.
func (l *logger) Stalled() bool { return len(l.lines) > room/2 || l.waiting.Load() > roomBytes }

// put queues a line, or several, as they are.
func (l *logger) put(line string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.begun {
		l.begun = true
		go l.write()
	}
	lost := ""
	if l.dropped > 0 {
		lost = l.line(quiet, "", fmt.Sprintf("%d lines lost: stderr had stalled", l.dropped))
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

// writeLines writes each line by itself, so that other writers' come between them, and not into one.
func writeLines(lines string) {
	for line := range strings.Lines(lines) {
		writeAll(2, []byte(line))
	}
}

// flush ends the log and waits for what is still to be written, for flushTime at most. It is the last thing before the exit.
// It waits as the loop does, and not with a timer of Go's: the first of those opens descriptors, and dies if there are none left.
func (l *logger) flush(source signals.Source) {
	l.mu.Lock() // for good: a probe's goroutine that logs now waits for the exit, and does not write to a closed channel
	if !l.begun {
		return
	}
	close(l.lines)
	for deadline := time.Now().Add(flushTime); !l.done.Load() && time.Now().Before(deadline); {
		source.Wait(time.Millisecond)
	}
}

// writeAll writes b to fd and reports whether it could. It is not os.File: that one dies of SIGPIPE for 1 and 2, and would make
// the very descriptors that the app has non-blocking.
func writeAll(fd int, b []byte) bool {
	for len(b) > 0 {
		n, err := unix.Write(fd, b)
		switch err {
		case nil:
			b = b[n:]
		case unix.EINTR:
		case unix.EAGAIN: // the app has made it non-blocking
			if _, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}, -1); err != nil && err != unix.EINTR {
				return false
			}
		default:
			return false
		}
	}
	return true
}
