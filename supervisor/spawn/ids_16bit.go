//go:build 386 || arm

package spawn

import "golang.org/x/sys/unix"

// The plain calls take 16-bit numbers on these architectures (setuid(2), "C
// library/kernel differences").
const (
	sysSetgroups = unix.SYS_SETGROUPS32
	sysSetgid    = unix.SYS_SETGID32
	sysSetuid    = unix.SYS_SETUID32
)
