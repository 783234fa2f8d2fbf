//go:build usher_linkname || usher_entry

package entry

import _ "unsafe" // for go:linkname

// LockThread does what runtime.LockOSThread does, but the runtime makes no
// template thread for it. New threads come from the template thread in case a
// locked thread has changed what they would inherit, and usher's locked threads
// change nothing of that kind. The linker allows this name only with
// -checklinkname=0.
//
//go:linkname LockThread runtime.lockOSThread
func LockThread()

// UnlockThread undoes LockThread.
//
//go:linkname UnlockThread runtime.unlockOSThread
func UnlockThread()
