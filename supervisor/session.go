package supervisor

import (
	"slices"

	"golang.org/x/sys/unix"

	"usher/signals"
	"usher/signals/entry"
	"usher/supervisor/exitcode"
	"usher/supervisor/process"
)

// letGo gives up the terminal on stdin, so that the app's session can take it: a terminal is one session's (TIOCSCTTY; ioctl_tty(2)).
// Usher knows no terminal from there on.
func (s *Supervisor) letGo() {
	s.tty.fd = -1
	if err := unix.IoctlSetInt(0, unix.TIOCNOTTY, 0); err != nil {
		s.log.Debugf("no terminal to hand to the app's session: %v", err)
		return
	}
	if sid, err := unix.Getsid(0); err == nil && sid == s.self {
		// The kernel then hangs up on the whole group, usher included (dumb-init#136).
		s.handOff = []signals.Signal{unix.SIGHUP, unix.SIGCONT}
	}
}

// handedOff reports whether e is what letGo has brought upon usher, and not for the app. Each comes once, and under usher's own name, as far
// as senders are known.
func (s *Supervisor) handedOff(e signals.Event) bool {
	i := slices.Index(s.handOff, e.Signal)
	if i < 0 || e.Sender.Known && e.Sender.PID != s.self {
		return false
	}
	s.handOff = slices.Delete(s.handOff, i, i+1)
	s.log.Debugf("%s comes of the terminal's hand-off", signals.Name(e.Signal))
	return true
}

// stopSelf stops usher, until somebody wakes it with SIGCONT. PID 1 is immune to that.
func (s *Supervisor) stopSelf() { _ = unix.Kill(s.self, unix.SIGSTOP) }

// pause is a run without an app.
func (s *Supervisor) pause() int {
	_ = unix.Chdir("/") // to keep no directory busy
	if _, err := process.Reap(func(process.Change) {}); err != nil {
		s.log.Errorf("%v", err)
		return exitcode.Failure
	}
	entry.Running = true
	s.log.Debugf("pausing")
	for {
		switch e, _ := s.source.Wait(-1); e.Signal {
		case unix.SIGCHLD:
			process.Reap(func(process.Change) {})
		case unix.SIGINT, unix.SIGTERM:
			return 0
		}
	}
}
