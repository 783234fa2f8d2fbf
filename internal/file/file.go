// Package file reads files without package os.
package file

import (
	"slices"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Read is the whole of a file, "" if it can't be read. It is not os.ReadFile, which makes the runtime open descriptors the first time,
// and dies if there are none left; nor would it be for nothing: 9 kB.
func Read(path string) string {
	content, _ := ReadAll(path)
	return content
}

// ReadAll is Read, with the reason why there is no more than that.
func ReadAll(path string) (string, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", err
	}
	defer unix.Close(fd)
	// One size of allocation, and no copy: what is touched once stays resident.
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
