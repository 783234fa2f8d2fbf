package signals

import "usher/signals/entry"

// LockThread and UnlockThread are runtime.LockOSThread and its opposite; in a build that is linked for it, at a lower price.
func LockThread()   { entry.LockThread() }
func UnlockThread() { entry.UnlockThread() }
