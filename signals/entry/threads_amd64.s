//go:build usher_threads && !race

#include "go_asm.h"
#include "textflag.h"

#define SYS_clone	56
#define SYS_arch_prctl	158
#define SYS_futex	202

// func reserve(total int32) int32
// The new threads have no stack. Each keeps the address of its slot in R12.
TEXT ·reserve(SB),NOSPLIT|NOFRAME,$0-12
	MOVL	$-105, AX		// ENOBUFS
	CMPL	total+0(FP), $const_slots
	JGT	enough
	MOVL	·reserved(SB), R13
	LEAQ	·waiting(SB), R12
	MOVQ	R13, AX
	IMULQ	$slot__size, AX
	ADDQ	AX, R12
another:
	XORL	AX, AX
	CMPL	R13, total+0(FP)
	JGE	enough
	MOVL	$SYS_clone, AX
	MOVL	$0x50f00, DI		// CLONE_VM|FS|FILES|SIGHAND|THREAD|SYSVSEM, the runtime's flags
	XORL	SI, SI
	XORL	DX, DX
	XORL	R10, R10
	XORL	R8, R8
	SYSCALL
	TESTQ	AX, AX
	JEQ	thread
	JLT	enough
	INCL	R13
	MOVL	R13, ·reserved(SB)
	ADDQ	$slot__size, R12
	JMP	another
enough:
	MOVL	AX, ret+8(FP)
	RET

thread:
	// futex(&slot.given, FUTEX_WAIT_PRIVATE, 0, NULL), until given is not 0
	CMPL	slot_given(R12), $0
	JNE	given
	MOVL	$SYS_futex, AX
	LEAQ	slot_given(R12), DI
	MOVL	$128, SI
	XORL	DX, DX
	XORL	R10, R10
	SYSCALL
	JMP	thread
given:
	MOVQ	slot_stk(R12), SI
	MOVQ	slot_gp(R12), R14
	MOVQ	slot_fn(R12), R12
	MOVL	$SYS_arch_prctl, AX
	MOVL	$0x1002, DI		// ARCH_SET_FS
	SYSCALL
	JMP	run<>(SB)

// run begins a thread of the runtime's. In: stk in SI, g in R14, fn in R12.
// Go's thread-local storage is the word before FS. The runtime keeps that word
// in m; here it is the first word of the stack. What else the runtime's clone
// does at this point, mstart and minit do as well.
TEXT run<>(SB),NOSPLIT|NOFRAME,$0
	LEAQ	-16(SI), SP
	MOVQ	R14, 8(SP)
	CALL	R12
	MOVL	$60, AX			// exit, never reached: fn does not return
	SYSCALL
	INT	$3

// func clone(flags int32, stk, mp, gp, fn unsafe.Pointer) int32
// The linker takes this function in place of the runtime's own, which no
// package may define. That is what DUPOK is for: of two functions of one name,
// the linker keeps the first if that is DUPOK, and takes the second if that is
// DUPOK and longer.
// It gives the work to one of the threads above while there are any: a Go
// runtime dies if it can't have a thread, and the app may leave no room for one.
TEXT runtime·clone(SB),DUPOK|NOSPLIT|NOFRAME,$0-44
	MOVQ	stk+8(FP), SI
	MOVQ	gp+24(FP), R9
	MOVQ	fn+32(FP), R12
	MOVL	·taken(SB), AX
take:
	CMPL	AX, ·reserved(SB)
	JGE	new
	LEAL	1(AX), DX
	LOCK
	CMPXCHGL	DX, ·taken(SB)
	JNE	take			// AX is the value that another thread has put there
	IMULQ	$slot__size, AX
	LEAQ	·waiting(SB), DI
	ADDQ	AX, DI
	MOVQ	SI, slot_stk(DI)
	MOVQ	R9, slot_gp(DI)
	MOVQ	R12, slot_fn(DI)
	MOVL	$1, slot_given(DI)
	// futex(&slot.given, FUTEX_WAKE_PRIVATE, 1)
	MOVL	$SYS_futex, AX
	MOVL	$129, SI
	MOVL	$1, DX
	SYSCALL
	MOVL	$1, ret+40(FP)		// the runtime only asks whether it is positive
	RET
new:
	// clone(flags|CLONE_SETTLS, stk-16, NULL, NULL, stk)
	MOVL	flags+0(FP), DI
	ORL	$0x00080000, DI
	MOVQ	SI, R8
	SUBQ	$16, SI
	XORL	DX, DX
	XORL	R10, R10
	MOVL	$SYS_clone, AX
	SYSCALL
	TESTQ	AX, AX
	JEQ	child
	MOVL	AX, ret+40(FP)
	JLT	failed
	LOCK
	INCL	·made(SB)
failed:
	RET
child:
	MOVQ	R8, SI
	MOVQ	R9, R14
	JMP	run<>(SB)
	// This makes the function longer than the runtime's clone.
	PCALIGN	$64
	INT	$3
	PCALIGN	$64
	INT	$3
	PCALIGN	$64
	INT	$3
