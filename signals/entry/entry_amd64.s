//go:build usher_entry

#include "textflag.h"

#define SYS_fcntl		72
#define SYS_rt_sigprocmask	14
#define SYS_epoll_create1	291
#define SYS_prlimit64		302

// func entry()
// Why all this is done: entry.go.
// In: the stack as the kernel laid it out (argc at 0(SP)). The runtime has to
// get it in the same form. System calls keep all registers but AX, CX, R11.
TEXT ·entry(SB),NOSPLIT|NOFRAME,$0
	// rt_sigprocmask(SIG_SETMASK, &all, &Mask, 8)
	MOVL	$SYS_rt_sigprocmask, AX
	MOVL	$2, DI
	LEAQ	·all(SB), SI
	LEAQ	·Mask(SB), DX
	MOVL	$8, R10
	SYSCALL
	MOVQ	AX, ·Unblocked(SB)

	// for fd in 0, 1, 2: if fcntl(fd, F_GETFD) fails,
	// epoll_create1(EPOLL_CLOEXEC) takes its place
	XORL	R12, R12
descriptor:
	MOVL	$SYS_fcntl, AX
	MOVL	R12, DI
	MOVL	$1, SI
	SYSCALL
	TESTQ	AX, AX
	JGE	open
	MOVL	$SYS_epoll_create1, AX
	MOVL	$0x80000, DI
	SYSCALL
open:
	INCL	R12
	CMPL	R12, $3
	JLT	descriptor

	MOVQ	SP, AX
	CALL	·early(SB)

	// prlimit64(0, RLIMIT_NOFILE, NULL, &NoFile)
	MOVL	$SYS_prlimit64, AX
	XORL	DI, DI
	MOVL	$7, SI
	XORL	DX, DX
	LEAQ	·NoFile(SB), R10
	SYSCALL

	// prlimit64(0, RLIMIT_NOFILE, &{0, hard limit}, NULL)
	TESTQ	AX, AX
	JNE	limited
	MOVQ	·NoFile+8(SB), CX
	MOVQ	CX, ·noFiles+8(SB)
	MOVL	$SYS_prlimit64, AX
	LEAQ	·noFiles(SB), DX
	XORL	R10, R10
	SYSCALL
limited:

	// runtime.sigtable is [65]struct{flags int32; name string}.
	// Each entry gets flags = 0.
	LEAQ	runtime·sigtable(SB), AX
	MOVL	$65, CX
flags:
	MOVL	$0, (AX)
	ADDQ	$24, AX
	DECL	CX
	JNZ	flags

	// envp = SP + 8 + 8*(argc+1)
	// Each variable that begins with GO loses its first byte.
	MOVQ	0(SP), CX
	LEAQ	16(SP)(CX*8), BX
	MOVQ	BX, ·Env(SB)
variable:
	MOVQ	(BX), DI
	TESTQ	DI, DI
	JEQ	done
	ADDQ	$8, BX
	CMPB	(DI), $'G'
	JNE	variable
	CMPB	1(DI), $'O'
	JNE	variable
	INCQ	-8(BX)
	JMP	variable
done:

	// usher takes no memory profile. The runtime would find that out only after
	// its first sample.
	MOVQ	$0, runtime·MemProfileRate(SB)

	// argc, argv and envp up to its NULL, which BX points at, move down by two
	// words. envp then ends with two settings of ours.
	MOVQ	BX, CX
	SUBQ	SP, CX
	SHRQ	$3, CX
	MOVQ	SP, SI
	SUBQ	$16, SP
	SUBQ	$16, ·Env(SB)
	MOVQ	SP, DI
	CLD
	REP; MOVSQ
	MOVQ	·maxProcs(SB), AX	// the first word of a string is its address
	MOVQ	AX, 0(DI)
	MOVQ	·debug(SB), AX
	MOVQ	AX, 8(DI)

	MOVQ	$1, ·Entered(SB)
	JMP	_rt0_amd64_linux(SB)
