//go:build !(usher_early && (amd64 || arm64) && !race)

package entry

const missingEarly = " usher_early"

// App is 0: nothing has been started before the Go runtime.
func App() int { return 0 }
