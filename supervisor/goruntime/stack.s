#include "textflag.h"

// func GrowStack()
TEXT ·GrowStack(SB),0,$8192-0
	RET
