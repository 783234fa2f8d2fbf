package lastword

import (
	"bytes"
	"fmt"
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
	last   []byte // what Write put there last, before the app's own message
}

// NewLog returns the log at path; "" is one that swallows everything. Unless create is set, a file that is not there is left so.
func NewLog(path string, create bool) *Log { return &Log{path: path, create: create} }

// Write puts line at the beginning of the file, in the place of the one written before, and keeps what the app has written, as
// far as there is room. An error is for the log and nothing else: the file may be missing, read-only, full or no file at all.
func (l *Log) Write(line string) error {
	if l.path == "" {
		return nil
	}
	fd, err := l.open()
	if err == unix.ENOENT && !l.create {
		return nil
	}
	if err != nil {
		return fmt.Errorf("cannot open termination log %q: %w", l.path, err)
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return fmt.Errorf("cannot examine termination log %q: %w", l.path, err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return fmt.Errorf("cannot write termination log %q: not a regular file", l.path)
	}
	ours := append(truncate([]byte(line), Size-1), '\n')
	text := truncate(append(ours, l.apps(fd)...), Size)
	// One write, then the cut: a reader that comes in between finds the new text and perhaps more behind it.
	if n, err := unix.Pwrite(fd, text, 0); err != nil || n < len(text) {
		if err == nil {
			err = unix.ENOSPC
		}
		return fmt.Errorf("cannot write termination log %q: %w", l.path, err)
	}
	l.last = ours
	if err := unix.Ftruncate(fd, int64(len(text))); err != nil {
		return fmt.Errorf("cannot cut termination log %q: %w", l.path, err)
	}
	return nil
}

// open never waits (O_NONBLOCK: a FIFO without a reader). It is for reading too, where that is allowed.
func (l *Log) open() (int, error) {
	flags := unix.O_CLOEXEC | unix.O_NONBLOCK | unix.O_NOCTTY
	if l.create {
		flags |= unix.O_CREAT
	}
	fd, err := unix.Open(l.path, flags|unix.O_RDWR, 0o644)
	if err == unix.EACCES {
		return unix.Open(l.path, flags|unix.O_WRONLY, 0o644)
	}
	return fd, err
}

// apps is what the app has written to the file itself.
func (l *Log) apps(fd int) []byte {
	buf := make([]byte, len(l.last)+Size)
	n, err := unix.Pread(fd, buf, 0)
	if err != nil {
		return nil
	}
	return bytes.TrimPrefix(buf[:n], l.last)
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
