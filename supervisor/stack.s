#include "textflag.h"

// func vforkSyscall(trap, a1, a2, a3 uintptr) (r1 uintptr, err syscall.Errno)
// Go calls assembly of its own package directly. Another package's it calls through a wrapper, whose frame the child would overwrite.
TEXT ·vforkSyscall(SB),NOSPLIT|NOFRAME,$0-48
	JMP	syscall·rawVforkSyscall(SB)

// func GrowStack()
TEXT ·GrowStack(SB),0,$8192-0
	RET
