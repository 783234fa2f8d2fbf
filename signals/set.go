package signals

import (
	"math/bits"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Set is the kernel's sigset_t: an array of words of the machine's size, with
// signal n at bit n-1.
type Set [numSignals / bits.UintSize]uint

func (s *Set) word(sig Signal) (*uint, uint) {
	n := uint(sig - 1)
	return &s[n/bits.UintSize], 1 << (n % bits.UintSize)
}

// Add puts sig into the set.
func (s *Set) Add(sig Signal) {
	w, bit := s.word(sig)
	*w |= bit
}

// Has reports whether sig is in the set.
func (s *Set) Has(sig Signal) bool {
	w, bit := s.word(sig)
	return *w&bit != 0
}

// All returns the set of all signals.
func All() (s Set) {
	for i := range s {
		s[i] = ^uint(0)
	}
	return s
}

// SetMask sets the calling thread's signal mask to s and stores the previous
// one in old. Either may be nil. It makes one system call and uses no memory of
// its own, so it can be called between fork and exec.
//
//go:nosplit
//go:norace
func SetMask(s, old *Set) {
	syscall.RawSyscall6(unix.SYS_RT_SIGPROCMASK, unix.SIG_SETMASK,
		uintptr(unsafe.Pointer(s)), uintptr(unsafe.Pointer(old)), unsafe.Sizeof(*s), 0, 0)
}

// action is the kernel's struct sigaction, as far as SIG_DFL and SIG_IGN need
// it: all fields but the handler are zero. It is large enough for any
// architecture.
type action [16]uintptr

const (
	sigDfl = 0
	sigIgn = 1
)

// Ignore makes the process ignore sig, as sigaction(2) with SIG_IGN does. It
// can be called between fork and exec.
//
//go:nosplit
//go:norace
func Ignore(sig Signal) {
	var a action
	a[actionHandler] = sigIgn
	syscall.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(sig), uintptr(unsafe.Pointer(&a)), 0, unsafe.Sizeof(Set{}), 0, 0)
}

// ignored reports whether the process ignores sig.
func ignored(sig Signal) bool {
	var a action
	syscall.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(sig), 0, uintptr(unsafe.Pointer(&a)), unsafe.Sizeof(Set{}), 0, 0)
	return a[actionHandler] == sigIgn
}
