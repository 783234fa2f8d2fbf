//go:build usher_entry && (amd64 || arm64)

package entry

import "golang.org/x/sys/unix"

// What entry has done and saved. It writes to them behind the compiler's back.
var (
	Entered uint64 // not 0: this is how the process has begun
	// Unblocked is not 0 where signals could not be blocked: a negative errno.
	Unblocked int64
	Mask      [1]uint         // the signal mask
	NoFile    unix.Rlimit     // RLIMIT_NOFILE
	Env       *[1 << 20]*byte // envp on the process's first stack, ended by nil
)

var pid int

// App is the pid of the app where that has been started before the Go runtime; 0 where that is still to be done.
func App() int { return pid }

// made is how many threads the Go runtime has made besides its first one and those that were waiting for it.
var made int32

func reserve(total int32) int32

// entry is where the kernel starts this program: see entry_*.s.
//
//lint:ignore U1000 the linker makes it the entry point (-E)
func entry()
