package supervisor

import (
	"golang.org/x/sys/unix"

	"usher/signals/entry"
	"usher/supervisor/exitcode"
	"usher/supervisor/process"
)

// pause runs usher without an app: usher reaps children until it gets SIGINT or
// SIGTERM.
func (s *Supervisor) pause() int {
	_ = unix.Chdir("/") // to keep no directory busy
	if _, err := process.Reap(nil); err != nil {
		s.log.Errorf("%v", err)
		return exitcode.Failure
	}
	entry.Running = true
	s.log.Debugf("pausing")
	for {
		switch e, _ := s.source.Wait(-1); e.Signal {
		case unix.SIGCHLD:
			process.Reap(nil)
		case unix.SIGINT, unix.SIGTERM:
			return 0
		}
	}
}
