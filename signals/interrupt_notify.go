//go:build !(usher_entry && (amd64 || arm64))

package signals

// unblockChild has nothing to do where the Go runtime handles signals: it
// unblocks SIGCHLD on every thread.
func unblockChild() (restore func()) { return func() {} }
