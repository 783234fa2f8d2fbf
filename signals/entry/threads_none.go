//go:build !(usher_threads && (amd64 || arm64) && !race)

package entry

import "syscall"

const missingThreads = " usher_threads"

// Reserve needs a build with the layer (threads.go).
func Reserve(int) syscall.Errno { return syscall.ENOSYS }
