//go:build mips || mipsle || mips64 || mips64le

package signals

// MIPS kept IRIX's numbers: 127 signals in a set of 128 bits. In struct
// sigaction, the flags come before the handler, and take a word with their
// padding (arch/mips/include/uapi/asm/signal.h).
const (
	numSignals    = 128
	actionHandler = 1
	lastSignal    = 127
)
