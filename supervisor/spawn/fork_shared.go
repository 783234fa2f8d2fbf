//go:build amd64 || arm64

package spawn

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"usher/signals"
)

// stackSize is the size of the child's stack in bytes. The child calls only
// functions without a stack check, and the linker makes sure that those need at
// most 800 bytes.
const stackSize = 4096

// forkShared makes a child that shares usher's memory (CLONE_VM) and has a
// stack of its own. To copy the memory would take several times as long as
// everything else. Unlike vfork(2), it does not suspend usher until the child's
// execve(2) returns. A dead file system, or a SIGSTOP to the child, can delay
// that for ever.
//
//go:nosplit
//go:norace
//go:nocheckptr
func (c *child) forkShared() (int, syscall.Errno) {
	top := uintptr(unsafe.Pointer(&c.stack[0])) + stackSize
	r := cloneShared(unix.CLONE_VM|uintptr(unix.SIGCHLD), top&^15, c)
	if r > ^uintptr(4095) {
		return 0, syscall.Errno(-r)
	}
	return int(r), 0
}

// cloneShared calls clone(2) with a stack that ends at the given address. The
// child calls childFunc, and does not return.
func cloneShared(flags, stack uintptr, c *child) uintptr

// childFunc is a variable, because assembly would call a Go function through a
// wrapper.
//
//lint:ignore U1000 fork_*.s call it
var childFunc = (*child).run

// run is the first function that the child calls.
//
//go:nosplit
//go:norace
//go:nocheckptr
func (c *child) run() {
	signals.Unhandle() // before any signal is unblocked
	c.exec()
}
