//go:build !(usher_entry && (amd64 || arm64))

package entry

import "syscall"

// App is 0: nothing has been started before the Go runtime.
func App() int { return 0 }

// Reserve is for what `make build` links.
func Reserve(int) syscall.Errno { return syscall.ENOSYS }
