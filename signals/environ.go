package signals

import _ "unsafe" // for go:linkname

// rawEnviron returns the runtime's copy of the environment. os.Environ keeps
// only the first of two variables with the same name, but an init has to pass
// on both.
//
//go:linkname rawEnviron syscall.runtime_envs
func rawEnviron() []string
