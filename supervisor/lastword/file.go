package lastword

import (
	"slices"

	"golang.org/x/sys/unix"
)

// file is an open termination log.
type file struct {
	fd    int
	blind bool   // usher may write to it but not read it
	held  []byte // if blind: the content that usher assumes
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

// append writes at the end of the file as it is at that moment. It returns how
// many bytes it has written.
func (f *file) append(b []byte) (int, error) {
	flags, err := unix.FcntlInt(uintptr(f.fd), unix.F_GETFL, 0)
	if err != nil {
		return 0, err
	}
	if _, err := unix.FcntlInt(uintptr(f.fd), unix.F_SETFL, flags|unix.O_APPEND); err != nil {
		return 0, err
	}
	n, err := unix.Write(f.fd, b)
	n, err = checkFullWrite(b, n, err)
	_, _ = unix.FcntlInt(uintptr(f.fd), unix.F_SETFL, flags)
	f.held = slices.Concat(f.held, b[:n])
	return n, err
}

// write writes at the beginning.
func (f *file) write(b []byte) error {
	n, err := unix.Pwrite(f.fd, b, 0)
	_, err = checkFullWrite(b, n, err)
	f.held = b
	return err
}

// checkFullWrite takes the results of a write of b. It returns an error if the
// write was short.
func checkFullWrite(b []byte, n int, err error) (int, error) {
	n = max(n, 0)
	if err == nil && n < len(b) {
		err = unix.ENOSPC
	}
	return n, err
}
