package supervisor

import (
	"golang.org/x/sys/unix"

	"usher/signals"
)

// tty is the terminal that usher and the app share, and usher's part in job control: the app is a process group of its own, and what a
// shell does with usher's group, and the terminal with the app's, has to reach the other one.
type tty struct {
	fd    int  // of the controlling terminal; -1 where there is none
	asked bool // usher itself has sent the app SIGTSTP, SIGTTIN or SIGTTOU
}

// openTTY finds the controlling terminal among stdin, stdout and stderr.
func openTTY() tty {
	for fd := range 3 {
		if _, err := unix.IoctlGetInt(fd, unix.TIOCGPGRP); err == nil { // fails for any other terminal (tcgetpgrp(3))
			return tty{fd: fd}
		}
	}
	return tty{fd: -1}
}

// foreground reports whether group is the terminal's foreground group.
func (t *tty) foreground(group int) bool {
	if t.fd < 0 {
		return false
	}
	pgid, err := unix.IoctlGetInt(t.fd, unix.TIOCGPGRP)
	return err == nil && pgid == group && group > 0 // 0 is a group of another PID namespace
}

// hand passes the foreground from one group to another, if it has it.
func (t *tty) hand(from, to int) {
	if t.foreground(from) {
		// SIGTTOU, which a background group gets for this, is blocked in usher.
		_ = unix.IoctlSetPointerInt(t.fd, unix.TIOCSPGRP, to)
	}
}

// underShell reports whether somebody is there to wake usher again should it stop: a parent in its session, but of another group, as a
// shell with job control is. Without one its group is orphaned, and the kernel would ignore SIGTSTP for it as well (setpgid(2)).
func underShell() bool {
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

// suspended deals with a stopped app. A shell that runs usher as a job has to see usher stop. Where there is none, nobody could wake
// the app, and without usher Ctrl-Z would not have stopped it: PID 1 and orphaned groups are immune to it.
func (s *Supervisor) suspended(sig signals.Signal) {
	switch {
	case sig == unix.SIGSTOP || s.tty.fd < 0 || s.tty.asked: // whoever did that knows how to undo it
	case s.tty.foreground(unix.Getpgrp()):
		s.resumed() // the shell has brought usher to the foreground, which it tells nobody, and the app wants to read
	case underShell():
		s.log.Debugf("the app was stopped by %s, and usher stops with it", signals.Name(sig))
		_ = unix.Kill(s.self, unix.SIGSTOP)
	case sig == unix.SIGTSTP && s.tty.foreground(s.group):
		_ = unix.Kill(-s.group, unix.SIGCONT)
	}
}

// resumed wakes the app's whole group, since all of it was stopped, and hands it the foreground if a shell's `fg` has given that to
// usher. It reports whether the app was sent SIGCONT.
func (s *Supervisor) resumed() bool {
	s.tty.asked = false
	if s.tty.fd < 0 || s.pid == 0 {
		return false
	}
	s.tty.hand(unix.Getpgrp(), s.group)
	return s.stopped && unix.Kill(-s.group, unix.SIGCONT) == nil
}
