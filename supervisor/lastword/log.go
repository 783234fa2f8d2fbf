package lastword

import (
	"bytes"
	"fmt"
	"slices"
	"sync/atomic"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

// Size is the number of bytes of a termination log that Kubernetes keeps: the
// last 4096 (kubelet, kuberuntime's MaxContainerTerminationMessageLength).
const Size = 4096

// Log is a termination log. Kubelet's is a bind mount, which can't be renamed
// over or removed. So usher writes in place. usher opens the file anew each
// time, because the app may write to it as well.
type Log struct {
	path   string
	create bool
	json   bool
	app    *App   // the app's user; nil if that is usher's own, or root
	self   *App   // usher's own user, if app is set
	alone  bool   // no thread can take on the app's rights
	kept   int    // a descriptor of the file, if the app may not open it; -1 if there is none
	id     fileID // of the file that Write wrote to
	last   []byte // the whole file as Write left it
	own    []byte // the app's part of last
	failed string // the error that was reported last
	leased bool   // the last Write failed because of a lease
}

// fileID identifies a file, to notice another one under the same name.
type fileID struct{ dev, ino uint64 }

// NewLog returns the log at path, as text for people or in JSON. With an empty
// path it discards everything. Unless create is set, a missing file is not
// made.
func NewLog(path string, create, json bool) *Log {
	return &Log{path: path, create: create, json: json, kept: -1}
}

// For makes the log open its file only as the user app may open it; own is
// usher's user. The goroutine that waits for signals must not use such a log:
// see App.as.
func (l *Log) For(app, own *App) { l.app, l.self = app, own }

// Alone makes the log open its file with usher's rights only, because no thread
// can take on the app's.
func (l *Log) Alone() { l.alone = true }

// Begin empties the file, unless the app runs by then. The content is from an
// earlier run, usher's and the app's, if the same file is mounted again (a
// Docker volume; kubelet's file is new each time). Begin ignores errors; Write
// reports them. If the file is missing then and must not be made, Write does
// not look for it again.
func (l *Log) Begin(running *atomic.Bool) {
	if l.path == "" {
		return
	}
	flags := openFlags
	if l.app != nil && l.create { // usher has all its rights now, so try now whether it can be made
		flags |= unix.O_CREAT
	}
	fd, err := l.open(flags)
	if err == unix.ENOENT && !l.create {
		l.path = ""
	}
	if err != nil {
		return
	}
	defer l.close(fd)
	var st unix.Stat_t
	if unix.Fstat(fd, &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFREG && st.Size > 0 && !running.Load() {
		_ = unix.Ftruncate(fd, 0)
	}
}

// Leased reports whether the last Write failed because another process has a
// lease on the file (fcntl(2)). The kernel is now taking the lease away, so it
// helps to try again.
func (l *Log) Leased() bool { return l.leased }

// Off reports whether the log discards everything.
func (l *Log) Off() bool { return l.path == "" }

// Nothing is the record that removes what Write has put into the file, and
// leaves what the app has written.
var Nothing Record

// Write puts the record at the beginning of the file, in place of the previous
// record. It keeps what the app has written, as far as there is room; in JSON,
// as a part of the object. The file may be missing, read-only, full, or no file
// at all: the caller may only log the error. Each error is returned once.
func (l *Log) Write(r *Record) error {
	if l.path == "" {
		return nil
	}
	what, err := l.write(r)
	l.leased = err == unix.EAGAIN
	if err == nil {
		return nil
	}
	err = fmt.Errorf("cannot %s termination log %q: %w", what, l.path, err)
	if err.Error() == l.failed && !l.leased {
		return nil
	}
	l.failed = err.Error()
	return err
}

// write also returns the verb of what failed.
func (l *Log) write(r *Record) (string, error) {
	flags := openFlags
	if l.create {
		flags |= unix.O_CREAT
	}
	fd, err := l.open(flags)
	switch {
	case err == unix.ENOENT && !l.create:
		return "", nil
	case err != nil:
		return "open", err
	}
	defer l.close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return "examine", err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return "write", errNotRegular
	}
	if id := (fileID{uint64(st.Dev), st.Ino}); id != l.id { // what was read from the former file does not count here
		l.id, l.last, l.own = id, nil, nil
	}
	return l.place(newFile(fd, int(st.Size)), r)
}

// tries limits how often usher begins again because the app has written to the
// file meanwhile.
const tries = 20

// place puts the record into the file. usher may be killed between any two of
// its system calls. And the app may write to the file at any moment, which only
// a lock could prevent. So place keeps these rules:
//
//   - No rest of a longer record stays behind a shorter one. A record is one
//     write within a page, which the kernel does as a whole
//     (generic_perform_write). Blanks overwrite what was longer.
//   - Nothing that the app has written is lost. Before usher writes at the end,
//     it makes room there by appending. It overwrites no more than it has just
//     read, and it cuts off blanks only at the end.
//
// One gap remains, between that reading and the write: the app may empty the
// file, or write in its middle.
func (l *Log) place(f *file, r *Record) (string, error) {
	moved := false
	for try := range tries {
		last := try == tries-1 // the app writes all the time: write the record nevertheless
		seen := f.read(len(l.last) + Size + 1)
		if len(seen) > Size { // kubelet reads the last bytes, so cut the file to Size first
			if err := unix.Ftruncate(f.fd, Size); err != nil {
				return "cut", err
			}
		}
		var own []byte
		if !f.blind {
			own = truncate(l.appsOwn(seen), Size)
		}
		if moved && !bytes.HasPrefix(seen, l.last) {
			own = bytes.TrimRight(own, " ") // the room that was made, behind the app's text
		}
		text := l.compose(r, own)
		seen = seen[:min(len(seen), Size)]
		room := blanks(len(text) - len(seen))
		if len(seen) == 0 {
			room = text
		}
		if len(room) > 0 && !last {
			n, err := f.append(room)
			l.last, l.own = slices.Concat(seen, room[:n]), own
			if err != nil {
				return "write", err
			}
			if len(seen) > 0 || !bytes.HasPrefix(f.read(len(text)), text) {
				moved = true
				continue
			}
			return "", nil
		}
		whole := slices.Concat(text, blanks(len(seen)-len(text)))
		if !last && !bytes.Equal(f.read(len(seen)+1), seen) {
			continue
		}
		if err := f.write(whole); err != nil {
			return "write", err
		}
		l.last, l.own = whole, own
		now := f.read(len(whole) + 1)
		if !bytes.HasPrefix(now, whole) {
			continue
		}
		if len(text) == len(whole) || r.Ahead {
			return "", nil
		}
		if len(now) > len(whole) {
			continue
		}
		if err := unix.Ftruncate(f.fd, int64(len(text))); err != nil {
			return "cut", err
		}
		l.last = text
		return "", nil
	}
	return "", nil
}

// compose returns what the file must contain, together with what the app has
// written to it.
func (l *Log) compose(r *Record, own []byte) []byte {
	switch {
	case r == &Nothing:
		return own
	case l.json:
		return r.appendJSON(own)
	}
	return r.appendText(own)
}

func blanks(n int) []byte { return bytes.Repeat([]byte(" "), max(0, n)) }

// A common part of at least this length is no coincidence.
const (
	usherBegins = 16
	usherEnds   = 8
)

// appsOwn returns what the app has written of content, the file as it is now.
// The app may have written after what usher left there, in place of it, or over
// a part of it: a descriptor that the app opened before has an offset of its
// own.
func (l *Log) appsOwn(content []byte) []byte {
	if at := bytes.Index(content, l.last); at == 0 || at > 0 && len(l.last) >= usherBegins {
		// Zeros: usher shortened the file, and the app's offset was behind the new end.
		// Text before it: the app wrote first.
		return slices.Concat(content[:at], l.own, bytes.TrimLeft(content[at+len(l.last):], "\x00"))
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

// truncate cuts b to at most n bytes, not within a character.
func truncate(b []byte, n int) []byte {
	if len(b) <= n {
		return b
	}
	for n > 0 && !utf8.RuneStart(b[n]) {
		n--
	}
	return b[:n]
}
