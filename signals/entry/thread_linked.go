//go:build usher_linkname || usher_entry

package entry

import _ "unsafe" // for go:linkname

// LockThread is runtime.LockOSThread without a further thread of the runtime's, which makes new threads where a locked one may have changed
// what they would inherit: usher's has not. To name it takes -checklinkname=0.
//
//go:linkname LockThread runtime.lockOSThread
func LockThread()

// UnlockThread undoes it.
//
//go:linkname UnlockThread runtime.unlockOSThread
func UnlockThread()
