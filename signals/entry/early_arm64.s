//go:build usher_entry

#include "textflag.h"
#include "early.h"

#define SYS_exit	93
#define SYS_futex	98
#define SYS_clone	220

// func early()
// In: R0, the first stack. It starts the app, if that can be done now: early.go.
TEXT ·early(SB),NOSPLIT|NOFRAME,$0
	SUB	$96, RSP		// Go functions put arguments there that came in registers (Go's internal ABI)
	MOVD	LR, 80(RSP)
	MOVD	$·noG(SB), g		// its stack has no end
	MOVD	·planFunc(SB), R26
	CBZ	R26, no
	MOVD	(R26), R1
	CALL	(R1)
	TBZ	$0, R0, no

	MOVD	$threads, R0
	MOVW	R0, 8(RSP)
	CALL	·reserve(SB)
	MOVW	16(RSP), R0
	TBNZ	$31, R0, parent		// main will have the same trouble, and say so

	// clone(CLONE_VM|SIGCHLD, the child's stack): usher does not stand still until the child has become the app
	MOVD	$0x111, R0
	MOVD	$·childStack+child_stack-96(SB), R1
	MOVD	$0, R2
	MOVD	$0, R3
	MOVD	$0, R4
	MOVD	$SYS_clone, R8
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

// func reserve(total int32) int32
// It makes threads, until there have been so many, and returns 0 or a negative errno. They run without a stack; each keeps its slot in R19.
TEXT ·reserve(SB),NOSPLIT|NOFRAME,$0-12
	MOVW	·reserved(SB), R20
	MOVD	$·waiting(SB), R19
	MOVD	$slot_size, R0
	MUL	R20, R0, R0
	ADD	R0, R19
another:
	MOVD	$0, R0
	MOVW	total+0(FP), R1
	CMPW	R1, R20
	BGE	enough
	CMPW	$slots, R20
	BGE	enough
	MOVD	$0x50f00, R0		// CLONE_VM|FS|FILES|SIGHAND|THREAD|SYSVSEM, as the runtime has it
	MOVD	$0, R1
	MOVD	$0, R2
	MOVD	$0, R3
	MOVD	$0, R4
	MOVD	$SYS_clone, R8
	SVC
	CBZ	R0, thread
	TBNZ	$63, R0, enough
	ADD	$1, R20
	MOVW	R20, ·reserved(SB)
	ADD	$slot_size, R19
	B	another
enough:
	MOVW	R0, ret+8(FP)
	RET

thread:
	// futex(&slot.given, FUTEX_WAIT_PRIVATE, 0, NULL), until it is not 0
	LDARW	(R19), R0		// slot_given
	CBNZW	R0, given
	MOVD	R19, R0
	MOVD	$128, R1
	MOVD	$0, R2
	MOVD	$0, R3
	MOVD	$SYS_futex, R8
	SVC
	B	thread
given:
	MOVD	slot_stk(R19), R1
	MOVD	slot_gp(R19), R11
	MOVD	slot_fn(R19), R12
	B	run<>(SB)

// run is where a thread of the runtime's begins. In: stk in R1, g in R11, fn in R12. What else its own clone does here, mstart and minit do as
// well.
TEXT run<>(SB),NOSPLIT|NOFRAME,$0
	MOVD	R1, RSP
	MOVD	R11, g
	CALL	(R12)
	MOVD	$SYS_exit, R8		// but it does not return
	SVC
	UNDEF

// func clone(flags int32, stk, mp, gp, fn unsafe.Pointer) int32
// Instead of the runtime's function: of a symbol that one object may share with others (DUPOK) and another may not, or that is longer in the
// former, the linker takes the former's. It gives the work to one of the threads above while there are any: a Go runtime dies if
// it can't have a thread, and the app may leave no room for one.
TEXT runtime·clone(SB),DUPOK|NOSPLIT|NOFRAME,$0-44
	MOVD	stk+8(FP), R1
	MOVD	gp+24(FP), R11
	MOVD	fn+32(FP), R12
	MOVD	$·taken(SB), R3
	MOVW	·reserved(SB), R4
take:
	LDAXRW	(R3), R5
	CMPW	R4, R5
	BGE	new
	ADD	$1, R5, R6
	STLXRW	R6, (R3), R7
	CBNZW	R7, take
	MOVD	$slot_size, R6
	MUL	R6, R5, R5
	MOVD	$·waiting(SB), R0
	ADD	R5, R0
	MOVD	R1, slot_stk(R0)
	MOVD	R11, slot_gp(R0)
	MOVD	R12, slot_fn(R0)
	MOVD	$1, R2
	STLRW	R2, (R0)		// slot_given
	// futex(&slot.given, FUTEX_WAKE_PRIVATE, 1)
	MOVD	$129, R1
	MOVD	$SYS_futex, R8
	SVC
	MOVD	$1, R0
	MOVW	R0, ret+40(FP)		// the runtime wants to know no more than that it is positive
	RET
new:
	// clone(flags, stk, NULL, NULL, NULL)
	MOVW	flags+0(FP), R0
	MOVD	R1, R13
	MOVD	$0, R2
	MOVD	$0, R3
	MOVD	$0, R4
	MOVD	$SYS_clone, R8
	SVC
	CBZ	R0, child
	MOVW	R0, ret+40(FP)
	TBNZ	$63, R0, failed
	MOVD	$·made(SB), R3
count:
	LDAXRW	(R3), R4
	ADD	$1, R4
	STLXRW	R4, (R3), R5
	CBNZW	R5, count
	MOVW	ZR, ·tried(SB)
	RET
failed:
	CMN	$11, R0			// EAGAIN
	BNE	other
	MOVW	·tried(SB), R3
	ADD	$1, R3
	MOVW	R3, ·tried(SB)
	CMPW	$tries, R3
	BLT	other
	MOVD	·refusedFunc(SB), R26
	CBZ	R26, other
	MOVD	(R26), R1
	CALL	(R1)
other:
	RET
child:
	MOVD	R13, R1
	B	run<>(SB)
	// Longer than the runtime's, by the way.
	PCALIGN	$64
	UNDEF
	PCALIGN	$64
	UNDEF
	PCALIGN	$64
	UNDEF
