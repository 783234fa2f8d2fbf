package supervisor

import (
	"bytes"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"usher/signals"

	"golang.org/x/sys/unix"
)

const (
	// maxLine is where a command's line is broken in two; in bytes.
	maxLine = 4096
	// maxDrain is how much is read of a command that has ended, and whose background processes may go on writing: all that a pipe
	// can hold unless somebody enlarges it (pipe(7)).
	maxDrain = 64 << 10
	// stallPoll is how soon usher looks again whether the log takes a command's output.
	stallPoll = 10 * time.Millisecond
)

// output is the reading end of the pipe a command writes to. The loop reads it whenever the kernel sends SIGCHLD for it (F_SETSIG; fcntl(2)),
// the one that means "look around": that needs no thread, no goroutine and no further descriptor.
type output struct {
	fd   int    // -1 once nobody can write any more
	name string // of the log's lines; "" is not logged
	rest []byte // a line that is not at its end yet
	last string // the last line that is not blank
}

func newOutput(fd int, name string, self int) (*output, error) {
	if _, err := signals.NotifyReadable(fd, self); err != nil { // the loop would wait for the command
		return nil, err
	}
	return &output{fd: fd, name: name}, nil
}

// readOutputs reads what commands have written, a little of each at a time, so that one that writes without end holds up nothing. It
// sets s.again where there is more. While the log has no room, hooks have to wait, as they would for any slow reader.
func (s *Supervisor) readOutputs() {
	s.again = -1
	open := s.outputs[:0]
	for _, o := range s.outputs {
		switch {
		case o.name != "" && s.log.Stalled():
			s.again = stallPoll
		case o.read(s.log):
			s.again = 0
		}
		if o.fd >= 0 {
			open = append(open, o)
		}
	}
	s.outputs = open
}

// drain reads what is there at a command's end.
func (o *output) drain(log Logger) {
	for range maxDrain / maxLine {
		if !o.read(log) {
			break
		}
	}
	o.endLine(log)
}

// read reads once, and reports whether there may be more.
func (o *output) read(log Logger) (more bool) {
	if o.fd < 0 {
		return false
	}
	o.rest = slices.Grow(o.rest, maxLine)
	begun := len(o.rest)
	n, err := unix.Read(o.fd, o.rest[begun:begun+maxLine])
	switch {
	case err == unix.EINTR:
		return true
	case err != nil: // EAGAIN, or what is no reason to close the pipe, which would kill who writes
		return false
	case n <= 0: // nobody has it open for writing
		o.close()
		o.endLine(log)
		return false
	}
	o.rest = o.rest[:begun+n]
	if end := bytes.LastIndexByte(o.rest[begun:], '\n') + 1; end > 0 {
		o.lines(log, string(o.rest[:begun+end]))
		o.rest = append(o.rest[:0], o.rest[begun+end:]...)
	}
	if len(o.rest) >= maxLine {
		end := whole(o.rest)
		o.lines(log, string(o.rest[:end])+"\n")
		o.rest = append(o.rest[:0], o.rest[end:]...)
	}
	return true
}

// whole is the length of b without a character at its end that is not complete yet.
func whole(b []byte) int {
	for n := 1; n < utf8.UTFMax; n++ {
		if last := b[len(b)-n:]; utf8.RuneStart(last[0]) {
			if !utf8.FullRune(last) {
				return len(b) - n
			}
			break
		}
	}
	return len(b)
}

// endLine takes what there is for a line.
func (o *output) endLine(log Logger) {
	if len(o.rest) > 0 {
		o.lines(log, string(o.rest)+"\n")
		o.rest = nil
	}
}

// lines takes whole lines.
func (o *output) lines(log Logger, text string) {
	if o.name != "" {
		log.Output(o.name, text)
	}
	text = strings.TrimSpace(text)
	if line := strings.TrimSpace(text[strings.LastIndexByte(text, '\n')+1:]); line != "" {
		o.last = line
	}
}

func (o *output) close() {
	if o.fd >= 0 {
		unix.Close(o.fd)
		o.fd = -1
	}
}
