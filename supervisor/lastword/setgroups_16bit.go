//go:build 386 || arm

package lastword

import "golang.org/x/sys/unix"

// The plain calls take 16-bit numbers there (setfsuid(2), "C library/kernel differences").
const (
	sysSetgroups = unix.SYS_SETGROUPS32
	sysSetfsgid  = unix.SYS_SETFSGID32
	sysSetfsuid  = unix.SYS_SETFSUID32
)
