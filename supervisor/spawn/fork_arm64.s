#include "textflag.h"

// func cloneShared(flags, stack uintptr, c *child) uintptr
// R19 keeps c through the system call. Go's internal ABI wants the child's first
// argument in R0. The child has the parent's g, which functions without a stack
// check do not use.
TEXT ·cloneShared(SB),NOSPLIT|NOFRAME,$0-32
	MOVD	flags+0(FP), R0
	MOVD	stack+8(FP), R1
	MOVD	c+16(FP), R19
	SUB	$64, R1			// spill area for arguments in registers
	MOVD	$0, R2
	MOVD	$0, R3
	MOVD	$0, R4
	MOVD	$220, R8		// clone
	SVC
	CBZ	R0, child
	MOVD	R0, ret+24(FP)
	RET
child:
	MOVD	R19, R0
	MOVD	·childFunc(SB), R26
	MOVD	(R26), R1
	CALL	(R1)
	UNDEF
