// Package terminal handles the terminal that usher and the app share. The app is a
// process group of its own. So what a shell does with usher's group has to reach
// the app, and what the terminal does with the app's group has to reach the shell.
package terminal

import "golang.org/x/sys/unix"

// TTY is usher's controlling terminal.
type TTY struct {
	// FD is a descriptor of the terminal, or -1 if there is none.
	FD int
	// StopSent says that usher has sent the app SIGTSTP, SIGTTIN or SIGTTOU.
	StopSent bool
}

// None returns the TTY of a process without a terminal.
func None() TTY { return TTY{FD: -1} }

// Open finds the controlling terminal among stdin, stdout and stderr.
func Open() TTY {
	for fd := range 3 {
		// Fails for any other terminal (tcgetpgrp(3)).
		if _, err := unix.IoctlGetInt(fd, unix.TIOCGPGRP); err == nil {
			return TTY{FD: fd}
		}
	}
	return None()
}

// IsForeground reports whether group is the terminal's foreground group.
func (t *TTY) IsForeground(group int) bool {
	if t.FD < 0 {
		return false
	}
	pgid, err := unix.IoctlGetInt(t.FD, unix.TIOCGPGRP)
	return err == nil && pgid == group && group > 0 // 0 is a group of another PID namespace
}

// Hand makes the group to the foreground group, if from is that at present.
func (t *TTY) Hand(from, to int) {
	if t.IsForeground(from) {
		// A background group gets SIGTTOU for this, but usher blocks it.
		_ = unix.IoctlSetPointerInt(t.FD, unix.TIOCSPGRP, to)
	}
}

// Release gives up the terminal on stdin, so that another session can have it: a
// terminal belongs to one session (TIOCSCTTY; ioctl_tty(2)). The TTY has none
// after that.
func (t *TTY) Release() error {
	t.FD = -1
	return unix.IoctlSetInt(0, unix.TIOCNOTTY, 0)
}

// UnderShell reports whether the parent can resume usher if it stops: the
// parent is in the same session, but in another group, like a shell with job
// control. Without such a parent usher's group is orphaned, and the kernel
// would ignore SIGTSTP for it as well (setpgid(2)).
func UnderShell() bool {
	parent := unix.Getppid()
	own, err := unix.Getsid(0)
	if err != nil || parent == 0 {
		return false
	}
	sid, err := unix.Getsid(parent)
	if err != nil || sid != own {
		return false
	}
	pgid, err := unix.Getpgid(parent)
	return err == nil && pgid != unix.Getpgrp()
}
