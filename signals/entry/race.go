//go:build usher_entry && (amd64 || arm64) && race

package entry

import "syscall"

// The race detector has its calls in every function, and it is not there yet.
//
//lint:ignore U1000 early_*.s looks at them
var planFunc, becomeFunc, startedFunc, refusedFunc func()

// Reserve is not for the race detector, whose threads the C library makes.
func Reserve(int) syscall.Errno { return syscall.ENOSYS }
