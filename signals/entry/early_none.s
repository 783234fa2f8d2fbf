//go:build usher_entry && (amd64 || arm64) && !(usher_early && !race)

#include "textflag.h"

// early is for a build with the layer (early_*.s).
TEXT ·early(SB),NOSPLIT|NOFRAME,$0
	RET
