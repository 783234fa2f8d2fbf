#include "textflag.h"

// func cloneShared(flags, stack uintptr, c *child) uintptr
// R12 keeps c through the system call. Go's internal ABI wants the child's first
// argument in AX, and a zero in X15. R14 has the parent's g, which functions
// without a stack check do not use.
TEXT ·cloneShared(SB),NOSPLIT|NOFRAME,$0-32
	MOVQ	flags+0(FP), DI
	MOVQ	stack+8(FP), SI
	MOVQ	c+16(FP), R12
	SUBQ	$64, SI			// spill area for arguments in registers
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
