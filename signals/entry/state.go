//go:build usher_entry && (amd64 || arm64)

package entry

import "golang.org/x/sys/unix"

//lint:file-ignore U1000 entry_*.s use what Go code does not

const missingEntry = ""

// Results of entry, which writes them behind the compiler's back.
var (
	Entered uint64 // not 0 if the process began at entry
	// Unblocked is a negative errno if signals could not be blocked, else 0.
	Unblocked int64
	Mask      [1]uint         // the signal mask at the start
	NoFile    unix.Rlimit     // RLIMIT_NOFILE at the start
	Env       *[1 << 20]*byte // envp on the process's first stack, ended by nil
)

// Inputs of entry.
var (
	all      = ^uint64(0)
	maxProcs = "GOMAXPROCS=1\x00"
	debug    = "GODEBUG=asyncpreemptoff=1\x00"
	noFiles  unix.Rlimit
)

// entry is where the kernel starts this program: see entry_*.s. The linker
// makes it the entry point (-E).
func entry()
