package lastword

import (
	"slices"

	"golang.org/x/sys/unix"
)

// file is an open termination log.
type file struct {
	fd    int
	blind bool   // it may be written only
	held  []byte // what it then is taken to have
}

func newFile(fd, size int) *file {
	_, err := unix.Pread(fd, make([]byte, 1), 0)
	return &file{fd: fd, blind: err != nil, held: blanks(min(size, Size))}
}

// read returns up to n bytes from the beginning.
func (f *file) read(n int) []byte {
	if f.blind {
		return f.held[:min(n, len(f.held))]
	}
	b := make([]byte, n)
	n, _ = unix.Pread(f.fd, b, 0)
	return b[:max(n, 0)]
}

// append writes behind whatever there is at that moment, and returns how much it could.
func (f *file) append(b []byte) (int, error) {
	flags, err := unix.FcntlInt(uintptr(f.fd), unix.F_GETFL, 0)
	if err != nil {
		return 0, err
	}
	if _, err := unix.FcntlInt(uintptr(f.fd), unix.F_SETFL, flags|unix.O_APPEND); err != nil {
		return 0, err
	}
	n, err := whole(b)(unix.Write(f.fd, b))
	_, _ = unix.FcntlInt(uintptr(f.fd), unix.F_SETFL, flags)
	f.held = slices.Concat(f.held, b[:n])
	return n, err
}

// write writes at the beginning.
func (f *file) write(b []byte) error {
	_, err := whole(b)(unix.Pwrite(f.fd, b, 0))
	f.held = b
	return err
}

// whole makes an error of a write of less than b.
func whole(b []byte) func(int, error) (int, error) {
	return func(n int, err error) (int, error) {
		n = max(n, 0)
		if err == nil && n < len(b) {
			err = unix.ENOSPC
		}
		return n, err
	}
}
