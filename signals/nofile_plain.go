//go:build !usher_linkname && !(usher_entry && (amd64 || arm64))

package signals

import "golang.org/x/sys/unix"

// originalNoFile returns nil: in a plain build, package syscall keeps the limit
// private.
func originalNoFile() *unix.Rlimit { return nil }
