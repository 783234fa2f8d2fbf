//go:build usher_entry && (amd64 || arm64)

package signals

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// A signal interrupts a system call only where it has a handler, and is not
// blocked. Here none has one, and all are blocked: for SIGCHLD, and one thread,
// and while Interrupt is at work, this is as it is in every other Go program.
// The runtime's handler does nothing: entry has cleared the flags that say what
// there is to be done.
//
//go:linkname setsig runtime.setsig
func setsig(sig uint32, handler uintptr)

//go:linkname sighandler runtime.sighandler
func sighandler(sig uint32, info, context, gp unsafe.Pointer)

//go:linkname handlingSig runtime.handlingSig
var handlingSig [65]uint32

// unblockChild lets SIGCHLD interrupt the calling thread until restore is
// called.
func unblockChild() (restore func()) {
	if handlingSig[unix.SIGCHLD] == 0 {
		handlingSig[unix.SIGCHLD] = 1 // first: or the runtime would take it for one that ends the program, and Unhandle miss it
		handler := sighandler
		setsig(uint32(unix.SIGCHLD), **(**uintptr)(unsafe.Pointer(&handler)))
	}
	set := All()
	word, bit := set.word(unix.SIGCHLD)
	*word &^= bit
	SetMask(&set, nil)
	return func() {
		*word |= bit
		SetMask(&set, nil)
	}
}
