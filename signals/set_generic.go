//go:build !mips && !mipsle && !mips64 && !mips64le

package signals

const (
	numSignals    = 64
	actionHandler = 0 // struct sigaction begins with the handler
	lastSignal    = 64
)
