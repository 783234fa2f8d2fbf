//go:build !usher_linkname && !usher_entry

package entry

import "runtime"

// LockThread is runtime.LockOSThread. A build that is linked for it has a
// cheaper one (thread_linked.go).
func LockThread() { runtime.LockOSThread() }

// UnlockThread undoes LockThread.
func UnlockThread() { runtime.UnlockOSThread() }
