package signals

import _ "unsafe" // for go:linkname

// rawEnviron is the runtime's copy of the environment. os.Environ leaves out all but the first of two variables with the same name,
// which an init has no business with.
//
//go:linkname rawEnviron syscall.runtime_envs
func rawEnviron() []string
