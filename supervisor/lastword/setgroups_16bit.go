//go:build 386 || arm

package lastword

import "golang.org/x/sys/unix"

// The system calls without 32 take 16-bit numbers on these architectures
// (setfsuid(2), "C library/kernel differences").
const (
	sysSetgroups = unix.SYS_SETGROUPS32
	sysSetfsgid  = unix.SYS_SETFSGID32
	sysSetfsuid  = unix.SYS_SETFSUID32
)
