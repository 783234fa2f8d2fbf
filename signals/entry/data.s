//go:build usher_entry && (amd64 || arm64)

#include "textflag.h"
#include "early.h"

// What entry and early have in common on both architectures, which have the same order of bytes.

DATA	·all(SB)/8, $0xffffffffffffffff
GLOBL	·all(SB), NOPTR|RODATA, $8
DATA	·maxProcs+0(SB)/8, $"GOMAXPRO"
DATA	·maxProcs+8(SB)/8, $"CS=1"
GLOBL	·maxProcs(SB), NOPTR|RODATA, $16
DATA	·debug+0(SB)/8, $"GODEBUG="
DATA	·debug+8(SB)/8, $"asyncpre"
DATA	·debug+16(SB)/8, $"emptoff="
DATA	·debug+24(SB)/8, $"1"
GLOBL	·debug(SB), NOPTR|RODATA, $32
GLOBL	·noFiles(SB), NOPTR, $16

// The threads that wait for work of the runtime's: a slot for each, how many there have been, and how many of these have got some.
GLOBL	·waiting(SB), NOPTR, $(slots*slot_size)
GLOBL	·reserved(SB), NOPTR, $4
GLOBL	·taken(SB), NOPTR, $4
GLOBL	·tried(SB), NOPTR, $4

GLOBL	·noG(SB), NOPTR, $32
GLOBL	·childStack(SB), NOPTR, $child_stack
