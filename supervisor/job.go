package supervisor

import (
	"slices"

	"golang.org/x/sys/unix"

	"usher/signals"
	"usher/supervisor/terminal"
)

// suspended handles an app that was stopped by a signal. If a shell runs usher as a
// job, it has to see usher stop. If there is no such shell, nobody could resume
// the app. Without usher, Ctrl-Z would not have stopped it: PID 1 and orphaned
// groups are immune to that.
func (s *Supervisor) suspended(sig signals.Signal) {
	switch {
	case sig == unix.SIGSTOP || s.tty.FD < 0 || s.tty.StopSent: // whoever sent that will resume the app
	case s.tty.IsForeground(unix.Getpgrp()):
		// The shell has brought usher to the foreground, for which there is no signal,
		// and the app has tried to read.
		s.resumed()
	case terminal.UnderShell():
		s.log.Debugf("the app was stopped by %s, and usher stops with it", signals.Name(sig))
		s.stopSelf()
	case sig == unix.SIGTSTP && s.tty.IsForeground(s.group):
		_ = unix.Kill(-s.group, unix.SIGCONT)
	}
}

// resumed resumes the app's whole group, since all of it was stopped. If a shell's
// `fg` has made usher's group the foreground group, resumed hands that to the
// app's. It reports whether it has sent SIGCONT to the app.
func (s *Supervisor) resumed() bool {
	s.tty.StopSent = false
	if s.tty.FD < 0 || s.pid == 0 {
		return false
	}
	s.tty.Hand(unix.Getpgrp(), s.group)
	return s.stopped && unix.Kill(-s.group, unix.SIGCONT) == nil
}

// releaseTerminal gives up the terminal on stdin, so that the app's session can
// have it.
func (s *Supervisor) releaseTerminal() {
	if err := s.tty.Release(); err != nil {
		s.log.Debugf("no terminal to hand to the app's session: %v", err)
		return
	}
	if sid, err := unix.Getsid(0); err == nil && sid == s.self {
		// The kernel then hangs up on the whole group, usher included (dumb-init#136).
		s.hangup = []signals.Signal{unix.SIGHUP, unix.SIGCONT}
	}
}

// isHangup reports whether e is the SIGHUP or SIGCONT that the kernel has sent
// because usher released its terminal. Such a signal is not forwarded. Each comes
// once, and where the sender is known, it is usher itself.
func (s *Supervisor) isHangup(e signals.Event) bool {
	i := slices.Index(s.hangup, e.Signal)
	if i < 0 || e.Sender.Known && e.Sender.PID != s.self {
		return false
	}
	s.hangup = slices.Delete(s.hangup, i, i+1)
	s.log.Debugf("%s comes of the terminal's hand-off", signals.Name(e.Signal))
	return true
}

// stopSelf stops usher until it gets SIGCONT. PID 1 is immune to that.
func (s *Supervisor) stopSelf() { _ = unix.Kill(s.self, unix.SIGSTOP) }
