package signals

import "usher/signals/entry"

// LockThread and UnlockThread are runtime.LockOSThread and UnlockOSThread. A
// build with the entry point has cheaper ones.
func LockThread()   { entry.LockThread() }
func UnlockThread() { entry.UnlockThread() }
