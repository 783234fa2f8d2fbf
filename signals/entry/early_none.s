//go:build usher_entry && (amd64 || arm64) && !(usher_early && !race)

#include "textflag.h"

// func early()
// It does nothing: this build lacks the layer (early_*.s).
TEXT ·early(SB),NOSPLIT|NOFRAME,$0
	RET
