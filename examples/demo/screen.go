package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// screen prints the demo's output. Lines come from several goroutines, so it
// has a lock.
type screen struct {
	mu    sync.Mutex
	w     io.Writer
	color bool
}

// newScreen uses colour only on a terminal (https://no-color.org).
func newScreen(f *os.File) *screen {
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return &screen{w: f, color: err == nil && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"}
}

const (
	bold  = "1"
	faint = "2"
	red   = "31"
	green = "32"
)

func (s *screen) paint(sgr, text string) string {
	if !s.color {
		return text
	}
	return "\x1b[" + sgr + "m" + text + "\x1b[0m"
}

func (s *screen) write(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	// If the reader has gone, SIGPIPE ends the demo.
	io.WriteString(s.w, text)
}

func (s *screen) print(format string, args ...any) {
	line := strings.TrimRight("  "+fmt.Sprintf(format, args...), " ")
	s.write(line + "\n")
}

func (s *screen) title(format string, args ...any) {
	s.write("\n" + s.paint(bold, fmt.Sprintf(format, args...)) + "\n\n")
}

// quote prints a program's output unchanged.
func (s *screen) quote(text string) {
	for line := range strings.Lines(text) {
		s.print("  %s", strings.TrimRight(line, "\n"))
	}
}

// command shows a command line, one flag with its value on each line.
func (s *screen) command(argv []string) {
	var b strings.Builder
	fmt.Fprintf(&b, "  %s %s", s.paint(faint, "$"), argv[0])
	own := true
	for i, arg := range argv[1:] {
		switch {
		case own && strings.HasPrefix(arg, "--"):
			b.WriteString(" \\\n      " + arg)
			own = arg != "--"
		case i == 0:
			b.WriteString(" " + arg)
		default:
			b.WriteString(" " + arg)
		}
	}
	s.write(b.String() + "\n")
}

// timeline prints events with the seconds since its beginning. A nil timeline
// prints nothing.
type timeline struct {
	screen *screen
	mu     sync.Mutex
	start  time.Time
}

func (t *timeline) begin() {
	if t == nil {
		return
	}
	t.mu.Lock()
	t.start = time.Now()
	t.mu.Unlock()
}

// event prints an event, unless the timeline has not begun.
func (t *timeline) event(format string, args ...any) {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.start.IsZero() {
		return
	}
	t.screen.print("%s  %s", t.screen.paint(faint, seconds(time.Since(t.start))), fmt.Sprintf(format, args...))
}

// table prints the summary, one run on each line, and a note about its numbers.
func (s *screen) table(results []result, note string) {
	width := len("started as")
	for _, r := range results {
		width = max(width, len(r.label))
	}
	s.print("%s", s.paint(faint, fmt.Sprintf("%-*s  %7s  %7s  %7s  %7s  %4s  %5s",
		width, "started as", "gone", "served", "failed", "refused", "cut", "other")))
	for _, r := range results {
		// The text is padded before it is painted, because the codes have no width.
		failed, sgr := fmt.Sprintf("%7d", r.after.Failed()), green
		if r.after.Failed() > 0 {
			sgr = red
		}
		s.print("%-*s  %7s  %7d  %s  %7d  %4d  %5d", width, r.label,
			seconds(r.gone), r.after.OK, s.paint(sgr, failed), r.after.Refused, r.after.Cut, r.after.Other)
	}
	s.print("")
	s.print("%s", s.paint(faint, note))
}

func seconds(d time.Duration) string { return fmt.Sprintf("+%.1fs", d.Seconds()) }
