//go:build usher_early && !race

#include "go_asm.h"
#include "textflag.h"

// func early()
// It starts the app, if that can be done now: early.go.
// In: R0, the address of the first stack.
TEXT ·early(SB),NOSPLIT|NOFRAME,$0
	SUB	$96, RSP		// Go functions spill register arguments there (Go's internal ABI)
	MOVD	LR, 80(RSP)
	MOVD	$·noG(SB), g		// and expect g here
	MOVD	·planFunc(SB), R26
	MOVD	(R26), R1
	CALL	(R1)
	TBZ	$0, R0, no

	MOVD	$const_PlainThreads, R0
	MOVW	R0, 8(RSP)
	CALL	·reserve(SB)
	MOVW	16(RSP), R0
	TBNZ	$31, R0, parent		// main will have the same trouble, and report it

	// clone(CLONE_VM|SIGCHLD, the child's stack). Without CLONE_VFORK, usher
	// goes on while the child becomes the app.
	MOVD	$0x111, R0
	MOVD	$·childStack+(const_childStackWords*8-96)(SB), R1
	AND	$~15, R1
	MOVD	$0, R2
	MOVD	$0, R3
	MOVD	$0, R4
	MOVD	$220, R8
	SVC
	CBNZ	R0, parent
	MOVD	·becomeFunc(SB), R26
	MOVD	(R26), R1
	CALL	(R1)
parent:
	MOVD	·startedFunc(SB), R26
	MOVD	(R26), R1
	CALL	(R1)
no:
	MOVD	80(RSP), LR
	ADD	$96, RSP
	RET
