//go:build mips || mipsle || mips64 || mips64le

package signals

// MIPS kept IRIX's numbers: 127 signals in a set of 128 bits, and the flags before the handler in struct sigaction, in a
// word of their own once padded (arch/mips/include/uapi/asm/signal.h).
const (
	numSignals    = 128
	actionHandler = 1
	lastSignal    = 127
)
