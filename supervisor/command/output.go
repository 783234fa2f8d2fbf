package command

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
	// maxLine is the length in bytes after which a line is broken.
	maxLine = 4096
	// maxDrain is the number of bytes that are read of a command that has ended, whose
	// background processes may go on writing. It is what a pipe can hold by default
	// (pipe(7)).
	maxDrain = 64 << 10
	// stallPoll is how soon usher looks again whether the log has room for a
	// command's output.
	stallPoll = 10 * time.Millisecond
)

// output is the reading end of the pipe that a command writes to. The loop
// reads it whenever the kernel sends SIGCHLD for it (signals.NotifyReadable).
// That takes no thread, no goroutine and no further descriptor.
type output struct {
	fd   int    // -1 once no process can write any more
	name string // for the log; the output of "" is not logged
	rest []byte // the beginning of an unfinished line
	last string // the last line that is not blank
}

func newOutput(fd int, name string, self int) (*output, error) {
	if _, err := signals.NotifyReadable(fd, self); err != nil { // the loop would wait for the command
		return nil, err
	}
	return &output{fd: fd, name: name}, nil
}

// drain reads what is in the pipe at a command's end.
func (o *output) drain(log Log) {
	for range maxDrain / maxLine {
		if !o.read(log) {
			break
		}
	}
	o.endLine(log)
}

// read reads once, and reports whether there may be more to read.
func (o *output) read(log Log) (more bool) {
	if o.fd < 0 {
		return false
	}
	o.rest = slices.Grow(o.rest, maxLine)
	begun := len(o.rest)
	n, err := unix.Read(o.fd, o.rest[begun:begun+maxLine])
	switch {
	case err == unix.EINTR:
		return true
	case err != nil: // EAGAIN, or an error: the pipe stays open, since closing it kills writers
		return false
	case n <= 0: // no process has it open for writing
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
		end := completeRunes(o.rest)
		o.lines(log, string(o.rest[:end])+"\n")
		o.rest = append(o.rest[:0], o.rest[end:]...)
	}
	return true
}

// completeRunes returns the length of b without an incomplete character at its
// end.
func completeRunes(b []byte) int {
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

// endLine ends an unfinished line.
func (o *output) endLine(log Log) {
	if len(o.rest) > 0 {
		o.lines(log, string(o.rest)+"\n")
		o.rest = nil
	}
}

// lines takes whole lines.
func (o *output) lines(log Log, text string) {
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
