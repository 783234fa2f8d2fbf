package supervisor

import (
	"slices"
	"time"

	"usher/supervisor/spawn"
)

// The execve(2) of a child may take as long as a file system likes: the server of
// a network file system may be down, or an image may be pulled as it is read.
// Until execve returns, the child is treated as any other: it is reaped, and it
// can be killed. The loop goes on. It learns of the return from a pipe that
// execve closes.

// hasStarted waits a moment for the child, and reports whether it has executed
// its program or has failed to. If not, the loop looks after it from now on.
func (s *Supervisor) hasStarted(l *spawn.Starting) bool {
	if l.WaitAndReap(spawn.Patience) || l.Notify(s.self) {
		return true
	}
	s.startings = append(s.startings, l)
	return false
}

// checkStartings looks for children that have executed their programs meanwhile.
// A child that has failed to is handled when it has been reaped.
func (s *Supervisor) checkStartings() {
	s.startings = slices.DeleteFunc(s.startings, func(l *spawn.Starting) bool { return l.Wait(0) })
	if l := s.appStarting; l != nil && l.Wait(0) && l.Err == nil {
		s.appStarting = nil
		s.started = time.Now()
		s.log.Debugf("the kernel has started %q at last", s.config.Command[0])
		s.appStarted()
	}
}
