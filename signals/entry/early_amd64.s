//go:build usher_early && !race

#include "go_asm.h"
#include "textflag.h"

// func early()
// It starts the app, if that can be done now: early.go.
// In: AX, the address of the first stack.
TEXT ·early(SB),NOSPLIT|NOFRAME,$0
	SUBQ	$64, SP			// Go functions spill register arguments there (Go's internal ABI)
	XORPS	X15, X15		// and expect a zero here
	LEAQ	·noG(SB), R14		// and g here
	MOVQ	·planFunc(SB), DX
	CALL	(DX)
	TESTB	AX, AX
	JEQ	no

	MOVL	$const_PlainThreads, 0(SP)
	CALL	·reserve(SB)
	MOVLQSX	8(SP), AX
	TESTQ	AX, AX
	JLT	parent			// main will have the same trouble, and report it

	// clone(CLONE_VM|SIGCHLD, the child's stack). Without CLONE_VFORK, usher
	// goes on while the child becomes the app.
	MOVL	$56, AX
	MOVL	$0x111, DI
	LEAQ	·childStack+(const_childStackWords*8-64)(SB), SI
	XORL	DX, DX
	XORL	R10, R10
	XORL	R8, R8
	SYSCALL
	TESTQ	AX, AX
	JNE	parent
	MOVQ	·becomeFunc(SB), DX
	CALL	(DX)
parent:
	MOVQ	·startedFunc(SB), DX
	CALL	(DX)
no:
	ADDQ	$64, SP
	RET
