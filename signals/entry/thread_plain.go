//go:build !usher_linkname && !usher_entry

package entry

import "runtime"

// LockThread is runtime.LockOSThread; in a build that is linked for it, at a lower price.
func LockThread() { runtime.LockOSThread() }

// UnlockThread undoes it.
func UnlockThread() { runtime.UnlockOSThread() }
