//go:build !(usher_early && (amd64 || arm64) && !race)

package entry

const missingEarly = " usher_early"

// App returns 0: this build never starts the app before the Go runtime.
func App() int { return 0 }
