//go:build !amd64 && !arm64

package spawn

import "syscall"

const stackSize = 0

// forkShared needs a few lines of assembly (fork_amd64.s), which this architecture
// does not have yet.
//
//go:nosplit
func (c *child) forkShared() (int, syscall.Errno) { return 0, syscall.ENOSYS }
