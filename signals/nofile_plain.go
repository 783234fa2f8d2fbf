//go:build !usher_linkname && !(usher_entry && (amd64 || arm64))

package signals

import "golang.org/x/sys/unix"

// originalNoFile is not to be had in a plain build: syscall keeps it to itself.
func originalNoFile() *unix.Rlimit { return nil }
