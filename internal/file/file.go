// Package file reads files without package os.
package file

import (
	"slices"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Read returns the content of a file, or "" if it can't be read. It replaces
// os.ReadFile, because package os makes the runtime open descriptors at the
// first use, and the runtime dies if none are left. It is also smaller.
func Read(path string) string {
	content, _ := ReadAll(path)
	return content
}

// ReadAll returns the content of a file. After an error it returns the bytes
// that it had read before.
func ReadAll(path string) (string, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", err
	}
	defer unix.Close(fd)
	// All allocations have one size, and nothing is copied, because memory stays
	// resident after its first use.
	all := make([]byte, 0, 2048)
	for {
		all = slices.Grow(all, 1)
		n, err := unix.Read(fd, all[len(all):cap(all)])
		if n <= 0 && err != unix.EINTR {
			return unsafe.String(unsafe.SliceData(all), len(all)), err
		}
		all = all[:len(all)+max(n, 0)]
	}
}

// ReadAt fills b with the content of the file at the offset. It returns the
// number of bytes read, which is 0 if the file can't be read. It never waits
// for a FIFO.
func ReadAt(path string, b []byte, offset int64) int {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		return 0
	}
	n, _ := unix.Pread(fd, b, offset)
	unix.Close(fd)
	return max(n, 0)
}
