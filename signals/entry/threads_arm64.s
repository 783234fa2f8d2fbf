//go:build usher_threads && !race

#include "go_asm.h"
#include "textflag.h"

#define SYS_exit	93
#define SYS_futex	98
#define SYS_clone	220

// func reserve(total int32) int32
// The new threads have no stack. Each keeps the address of its slot in R19.
TEXT ·reserve(SB),NOSPLIT|NOFRAME,$0-12
	MOVD	$-105, R0		// ENOBUFS
	MOVW	total+0(FP), R1
	CMPW	$const_slots, R1
	BGT	enough
	MOVW	·reserved(SB), R20
	MOVD	$·waiting(SB), R19
	MOVD	$slot__size, R0
	MUL	R20, R0, R0
	ADD	R0, R19
another:
	MOVD	$0, R0
	MOVW	total+0(FP), R1
	CMPW	R1, R20
	BGE	enough
	MOVD	$0x50f00, R0		// CLONE_VM|FS|FILES|SIGHAND|THREAD|SYSVSEM, the runtime's flags
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
	ADD	$slot__size, R19
	B	another
enough:
	MOVW	R0, ret+8(FP)
	RET

thread:
	// futex(&slot.given, FUTEX_WAIT_PRIVATE, 0, NULL), until given is not 0
	LDARW	(R19), R0		// slot.given
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

// run begins a thread of the runtime's. In: stk in R1, g in R11, fn in R12.
// What else the runtime's clone does at this point, mstart and minit do as well.
TEXT run<>(SB),NOSPLIT|NOFRAME,$0
	MOVD	R1, RSP
	MOVD	R11, g
	CALL	(R12)
	MOVD	$SYS_exit, R8		// never reached: fn does not return
	SVC
	UNDEF

// func clone(flags int32, stk, mp, gp, fn unsafe.Pointer) int32
// The linker takes this function in place of the runtime's own, which no
// package may define. That is what DUPOK is for: of two functions of one name,
// the linker keeps the first if that is DUPOK, and takes the second if that is
// DUPOK and longer.
// It gives the work to one of the threads above while there are any: a Go
// runtime dies if it can't have a thread, and the app may leave no room for one.
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
	MOVD	$slot__size, R6
	MUL	R6, R5, R5
	MOVD	$·waiting(SB), R0
	ADD	R5, R0
	MOVD	R1, slot_stk(R0)
	MOVD	R11, slot_gp(R0)
	MOVD	R12, slot_fn(R0)
	MOVD	$1, R2
	STLRW	R2, (R0)		// slot.given
	// futex(&slot.given, FUTEX_WAKE_PRIVATE, 1)
	MOVD	$129, R1
	MOVD	$SYS_futex, R8
	SVC
	MOVD	$1, R0
	MOVW	R0, ret+40(FP)		// the runtime only asks whether it is positive
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
failed:
	RET
child:
	MOVD	R13, R1
	B	run<>(SB)
	// This makes the function longer than the runtime's clone.
	PCALIGN	$64
	UNDEF
	PCALIGN	$64
	UNDEF
	PCALIGN	$64
	UNDEF
