#include "textflag.h"

// func cloneShared(flags, stack uintptr, c *child) uintptr
// R12 keeps c through the system call. The child's first argument is in AX and the zero that Go functions want in X15 (Go's internal
// ABI); its g, in R14, is the parent's, which functions without a stack check leave alone.
TEXT ·cloneShared(SB),NOSPLIT|NOFRAME,$0-32
	MOVQ	flags+0(FP), DI
	MOVQ	stack+8(FP), SI
	MOVQ	c+16(FP), R12
	SUBQ	$64, SI			// room for the arguments that came in registers
	XORL	DX, DX
	XORL	R10, R10
	XORL	R8, R8
	MOVL	$56, AX			// clone
	SYSCALL
	TESTQ	AX, AX
	JEQ	child
	MOVQ	AX, ret+24(FP)
	RET
child:
	XORPS	X15, X15
	MOVQ	R12, AX
	MOVQ	·childFunc(SB), DX
	CALL	(DX)
	INT	$3
