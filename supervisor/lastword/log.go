package lastword

import (
	"bytes"
	"fmt"
	"slices"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

// Size is how much of a termination log Kubernetes keeps: the last 4096 bytes (kubelet, kuberuntime's MaxContainerTerminationMessageLength).
const Size = 4096

// Log is a termination log. Kubelet's is a bind mount, which can't be renamed over or removed, so it is written in place, and
// opened anew each time, because the app may write to it as well.
type Log struct {
	path   string
	create bool
	json   bool
	last   []byte // what Write left in the file, all of it
	own    []byte // the app's part of that
	failed string // the error that was reported last
}

// NewLog returns the log at path, for people or in JSON; "" is one that swallows everything. Unless create is set, a file that is not
// there is left so.
func NewLog(path string, create, json bool) *Log { return &Log{path: path, create: create, json: json} }

// Begin empties the file: what it says before the app is started is an earlier run's, usher's and the app's, where the same file is
// mounted again (a Docker volume; kubelet's is new each time). That it can't is for Write to say. A file that
// is missing then, and that is not to be made, is not looked for again.
func (l *Log) Begin() {
	if l.path == "" {
		return
	}
	fd, err := unix.Open(l.path, unix.O_WRONLY|openFlags, 0)
	if err == unix.ENOENT && !l.create {
		l.path = ""
	}
	if err != nil {
		return
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if unix.Fstat(fd, &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFREG && st.Size > 0 {
		_ = unix.Ftruncate(fd, 0)
	}
}

// Off reports whether there is nowhere to write.
func (l *Log) Off() bool { return l.path == "" }

// Clear takes out what Write has put there, and leaves what the app has written.
func (l *Log) Clear() error { return l.Write(nil) }

// Write puts the record at the beginning of the file, in the place of the one written before, and keeps what the app has written, as
// far as there is room; in JSON, as a part of it. An error is for the log and nothing else: the file may be missing, read-only, full or no file at all. It is
// returned once.
func (l *Log) Write(r *Record) error {
	if l.path == "" {
		return nil
	}
	what, err := l.write(r)
	if err == nil {
		return nil
	}
	err = fmt.Errorf("cannot %s termination log %q: %w", what, l.path, err)
	if err.Error() == l.failed {
		return nil
	}
	l.failed = err.Error()
	return err
}

// openFlags never wait: a FIFO may have no reader.
const openFlags = unix.O_CLOEXEC | unix.O_NONBLOCK | unix.O_NOCTTY

// write also returns what could not be done.
func (l *Log) write(r *Record) (string, error) {
	fd, err := l.open()
	switch {
	case err == unix.ENOENT && !l.create:
		return "", nil
	case err != nil:
		return "open", err
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return "examine", err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return "write", notRegular{}
	}
	content := make([]byte, len(l.last)+Size)
	n, err := unix.Pread(fd, content, 0)
	if err != nil {
		n = 0 // it may be writable only
	}
	own := truncate(l.appsOwn(content[:n]), Size)
	text := own
	switch {
	case r == nil:
	case l.json:
		text = r.appendJSON(own)
	default:
		text = r.appendText(own)
	}

	// Usher may be killed between any two of these. A page is written as a whole (generic_perform_write), so what the old text has more
	// is blanked out with the write, and cut off after it; kubelet reads the last bytes, so what is too long is cut before.
	if st.Size > Size {
		if err := unix.Ftruncate(fd, Size); err != nil {
			return "cut", err
		}
	}
	whole := append(slices.Clone(text), bytes.Repeat([]byte(" "), max(0, min(int(st.Size), Size)-len(text)))...)
	n, err = unix.Pwrite(fd, whole, 0)
	if n > 0 {
		l.last, l.own = text[:min(n, len(text))], own
	}
	if err == nil && n < len(whole) {
		err = unix.ENOSPC
	}
	if err != nil {
		return "write", err
	}
	if err := unix.Ftruncate(fd, int64(len(text))); err != nil {
		return "cut", err
	}
	return "", nil
}

type notRegular struct{}

func (notRegular) Error() string { return "not a regular file" }

// open is for reading too, where that is allowed.
func (l *Log) open() (int, error) {
	flags := openFlags
	if l.create {
		flags |= unix.O_CREAT
	}
	fd, err := unix.Open(l.path, flags|unix.O_RDWR, 0o644)
	if err == unix.EACCES {
		return unix.Open(l.path, flags|unix.O_WRONLY, 0o644)
	}
	return fd, err
}

// What is so long can't be the same by chance.
const (
	usherBegins = 16
	usherEnds   = 8
)

// appsOwn is what the app has written of content, the file as it is now: behind what usher has left there, instead of it, or over a
// part of it, since a descriptor that the app opened before has an offset of its own.
func (l *Log) appsOwn(content []byte) []byte {
	if more, ok := bytes.CutPrefix(content, l.last); ok {
		// Zeros: the app's offset was behind the end of what usher has made shorter.
		return slices.Concat(l.own, bytes.TrimLeft(more, "\x00"))
	}
	begin, end := 0, 0
	for begin < min(len(content), len(l.last)) && content[begin] == l.last[begin] {
		begin++
	}
	if begin < usherBegins {
		begin = 0
	}
	if len(content) == len(l.last) {
		for end < len(content)-begin && content[len(content)-1-end] == l.last[len(content)-1-end] {
			end++
		}
		if end < usherEnds {
			end = 0
		}
	}
	written := content[begin : len(content)-end]
	if begin > 0 {
		return slices.Concat(l.own, written)
	}
	return slices.Clone(written)
}

// truncate cuts b to n bytes at most, and not within a character.
func truncate(b []byte, n int) []byte {
	if len(b) <= n {
		return b
	}
	for n > 0 && !utf8.RuneStart(b[n]) {
		n--
	}
	return b[:n]
}
