//go:build !(usher_entry && (amd64 || arm64))

package entry

// App is 0: nothing has been started before the Go runtime.
func App() int { return 0 }
