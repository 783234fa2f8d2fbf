//go:build usher_entry && (amd64 || arm64)

package signals

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// A signal interrupts a system call only if it has a handler and is not
// blocked. In this build, signals have no handler, and all are blocked.
// unblockChild gives SIGCHLD the state that it has in every other Go program,
// on one thread, for as long as Interrupt works. The runtime's handler does
// nothing, because entry has cleared the flags that tell it what to do.
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
		// First, or the runtime would let the signal end the program, and Unhandle
		// would miss it.
		handlingSig[unix.SIGCHLD] = 1
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
