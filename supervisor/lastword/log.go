package lastword

import (
	"bytes"
	"fmt"
	"slices"
	"sync/atomic"
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
	app    *App   // who the app runs as; nil is usher's own user, or root
	self   *App   // usher's own user, then
	alone  bool   // the app's rights can't be had
	kept   int    // a descriptor of the file, where the app may not open it; -1 is none
	id     fileID // of the file that Write was for
	last   []byte // what Write left in the file, all of it
	own    []byte // the app's part of that
	failed string // the error that was reported last
	leased bool   // that was for want of patience
}

// fileID tells a file from another one of the same name.
type fileID struct{ dev, ino uint64 }

// NewLog returns the log at path, for people or in JSON; "" is one that swallows everything. Unless create is set, a file that is not
// there is left so.
func NewLog(path string, create, json bool) *Log {
	return &Log{path: path, create: create, json: json, kept: -1}
}

// For has the log opened as app may open it, and no further; own is usher's user. It is not for the goroutine that waits for signals: App.as.
func (l *Log) For(app, own *App) { l.app, l.self = app, own }

// Alone has it opened with usher's rights only, where there is no thread that could take on the app's.
func (l *Log) Alone() { l.alone = true }

// Begin empties the file, unless the app runs by then: what it says is an earlier run's, usher's and the app's, where the same file
// is mounted again (a Docker volume; kubelet's is new each time). That it can't is for Write to say. A file that
// is missing then, and that is not to be made, is not looked for again.
func (l *Log) Begin(running *atomic.Bool) {
	if l.path == "" {
		return
	}
	flags := openFlags
	if l.app != nil && l.create { // whether it can be made shows now, when usher has all its rights
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

// Leased reports whether the last Write has failed because somebody has a lease on the file (fcntl(2)), which the kernel is now taking
// away: to try again helps.
func (l *Log) Leased() bool { return l.leased }

// Off reports whether there is nowhere to write.
func (l *Log) Off() bool { return l.path == "" }

// Nothing is the record that takes out what Write has put there, and leaves what the app has written.
var Nothing Record

// Write puts the record at the beginning of the file, in the place of the one written before, and keeps what the app has written, as
// far as there is room; in JSON, as a part of it. An error is for the log and nothing else: the file may be missing, read-only, full or no file at all. It is
// returned once.
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

// write also returns what could not be done.
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
	if id := (fileID{uint64(st.Dev), st.Ino}); id != l.id { // another one has taken its place: what was read of the former is not for it
		l.id, l.last, l.own = id, nil, nil
	}
	return l.place(newFile(fd, int(st.Size)), r)
}

// tries is how often usher begins anew when the app has written in the middle of its own writing.
const tries = 20

// place puts the record into the file. Usher may be killed between any two of its system calls, and the app may write there, which nothing
// but a lock could keep it from. So that no part of a longer word stands behind a shorter one, a word is one write of a part of a page, which
// the kernel does as a whole (generic_perform_write), blank where there was more. So that nothing of the app's is lost, usher
// makes room at the end, by appending, before it writes there; it writes over no more than what it has read just before; and it cuts blanks off
// only at the end. What remains is the moment between that reading and the write for an app that empties the file, or writes in its middle.
func (l *Log) place(f *file, r *Record) (string, error) {
	moved := false
	for try := range tries {
		last := try == tries-1 // the app writes all the time, and usher's word has to be there
		seen := f.read(len(l.last) + Size + 1)
		if len(seen) > Size { // kubelet reads the last bytes, so that what is too long is cut before
			if err := unix.Ftruncate(f.fd, Size); err != nil {
				return "cut", err
			}
		}
		var own []byte
		if !f.blind {
			own = truncate(l.appsOwn(seen), Size)
		}
		if moved && !bytes.HasPrefix(seen, l.last) {
			own = bytes.TrimRight(own, " ") // the room that was made, behind the app's
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

// compose is what the file is to have, with what the app has written there.
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

// What is so long can't be the same by chance.
const (
	usherBegins = 16
	usherEnds   = 8
)

// appsOwn is what the app has written of content, the file as it is now: behind what usher has left there, instead of it, or over a
// part of it, since a descriptor that the app opened before has an offset of its own.
func (l *Log) appsOwn(content []byte) []byte {
	if at := bytes.Index(content, l.last); at == 0 || at > 0 && len(l.last) >= usherBegins {
		// Zeros: the app's offset was behind the end of what usher has made shorter. Before it: the app was quicker.
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
