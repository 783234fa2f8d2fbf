//go:build usher_entry && (amd64 || arm64)

package entry

import "golang.org/x/sys/unix"

//lint:file-ignore U1000 entry_*.s use the rest

const missingEntry = ""

// What entry has done and saved. It writes to them behind the compiler's back.
var (
	Entered uint64 // not 0: this is how the process has begun
	// Unblocked is not 0 where signals could not be blocked: a negative errno.
	Unblocked int64
	Mask      [1]uint         // the signal mask
	NoFile    unix.Rlimit     // RLIMIT_NOFILE
	Env       *[1 << 20]*byte // envp on the process's first stack, ended by nil
)

// What entry reads.
var (
	all      = ^uint64(0)
	maxProcs = "GOMAXPROCS=1\x00"
	debug    = "GODEBUG=asyncpreemptoff=1\x00"
	noFiles  unix.Rlimit
)

// entry is where the kernel starts this program: see entry_*.s.
// The linker makes it the entry point (-E).
func entry()
