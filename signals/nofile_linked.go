//go:build usher_linkname && !(usher_entry && (amd64 || arm64))

package signals

import (
	"sync/atomic"
	"syscall"
	_ "unsafe" // for go:linkname

	"golang.org/x/sys/unix"
)

// origRlimitNofile is the limit that the runtime has saved before it raised it.
// Naming it takes -checklinkname=0.
//
//go:linkname origRlimitNofile syscall.origRlimitNofile
var origRlimitNofile atomic.Pointer[syscall.Rlimit]

func originalNoFile() *unix.Rlimit {
	if limit := origRlimitNofile.Load(); limit != nil {
		return &unix.Rlimit{Cur: limit.Cur, Max: limit.Max}
	}
	return nil
}
