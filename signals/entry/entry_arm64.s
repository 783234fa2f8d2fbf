//go:build usher_entry

#include "textflag.h"

#define SYS_epoll_create1	20
#define SYS_fcntl		25
#define SYS_rt_sigprocmask	135
#define SYS_prlimit64		261

// func entry()
// Why all this is done: entry.go.
// In: the stack as the kernel laid it out (argc at 0(RSP)). The runtime has to
// get it in the same form. System calls keep all registers but R0.
TEXT ·entry(SB),NOSPLIT|NOFRAME,$0
	// rt_sigprocmask(SIG_SETMASK, &all, &Mask, 8)
	MOVD	$2, R0
	MOVD	$·all(SB), R1
	MOVD	$·Mask(SB), R2
	MOVD	$8, R3
	MOVD	$SYS_rt_sigprocmask, R8
	SVC
	MOVD	R0, ·Unblocked(SB)

	// for fd in 0, 1, 2: if fcntl(fd, F_GETFD) fails,
	// epoll_create1(EPOLL_CLOEXEC) takes its place
	MOVD	$0, R19
descriptor:
	MOVD	R19, R0
	MOVD	$1, R1
	MOVD	$SYS_fcntl, R8
	SVC
	TBZ	$63, R0, open
	MOVD	$0x80000, R0
	MOVD	$SYS_epoll_create1, R8
	SVC
open:
	ADD	$1, R19
	CMP	$3, R19
	BLT	descriptor

	MOVD	RSP, R0
	CALL	·early(SB)

	// prlimit64(0, RLIMIT_NOFILE, NULL, &NoFile)
	MOVD	$0, R0
	MOVD	$7, R1
	MOVD	$0, R2
	MOVD	$·NoFile(SB), R3
	MOVD	$SYS_prlimit64, R8
	SVC

	// prlimit64(0, RLIMIT_NOFILE, &{0, hard limit}, NULL)
	CBNZ	R0, limited
	MOVD	·NoFile+8(SB), R0
	MOVD	R0, ·noFiles+8(SB)
	MOVD	$0, R0
	MOVD	$7, R1
	MOVD	$·noFiles(SB), R2
	MOVD	$0, R3
	MOVD	$SYS_prlimit64, R8
	SVC
limited:

	// runtime.sigtable is [65]struct{flags int32; name string}.
	// Each entry gets flags = 0.
	MOVD	$runtime·sigtable(SB), R0
	MOVD	$65, R1
flags:
	MOVW	ZR, (R0)
	ADD	$24, R0
	SUB	$1, R1
	CBNZ	R1, flags

	// envp = SP + 8 + 8*(argc+1)
	// Each variable that begins with GO loses its first byte.
	MOVD	0(RSP), R0
	ADD	$16, RSP, R1
	ADD	R0<<3, R1, R1
	MOVD	R1, ·Env(SB)
	MOVD	$1, R3
variable:
	MOVD.P	8(R1), R0
	CBZ	R0, done
	MOVBU	(R0), R2
	CMP	$'G', R2
	BNE	variable
	MOVBU	1(R0), R2
	CMP	$'O', R2
	BNE	variable
	ADD	$1, R0
	MOVD	R0, -8(R1)
	B	variable
done:

	// usher takes no memory profile. The runtime would find that out only after
	// its first sample.
	MOVD	ZR, runtime·MemProfileRate(SB)

	// argc, argv and envp up to its NULL, which R1 has passed, move down by two
	// words. envp then ends with two settings of ours.
	SUB	$8, R1
	MOVD	·Env(SB), R0
	SUB	$16, R0
	MOVD	R0, ·Env(SB)
	MOVD	RSP, R4
	SUB	$16, R4, R2
	MOVD	R2, RSP
word:
	MOVD.P	8(R4), R0
	MOVD.P	R0, 8(R2)
	CMP	R1, R4
	BNE	word
	MOVD	·maxProcs(SB), R0	// the first word of a string is its address
	MOVD	R0, 0(R2)
	MOVD	·debug(SB), R0
	MOVD	R0, 8(R2)

	MOVD	R3, ·Entered(SB)
	B	_rt0_arm64_linux(SB)
