package supervisor

import (
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// A child's execve(2) may take as long as a file system likes: that of a network that is down, or of an image that is pulled when it is read.
// Until it returns, the child is usher's as any other: it is reaped, and it can be killed. The loop goes on, and hears of it by
// the pipe that execve closes.

// begun waits a moment for the child and reports whether it has become its program, or failed to; if not, the loop looks after it from now on.
func (s *Supervisor) begun(l *starting) bool {
	if l.started(patience) {
		return true
	}
	wakes, err := wakeFor(l.reportR, s.self)
	l.polled = !wakes || err != nil
	if l.started(0) { // just before usher asked to be told
		return true
	}
	s.startings = append(s.startings, l)
	return false
}

// launched looks for children that have become their programs by now. One that has failed is dealt with when the child has been reaped.
func (s *Supervisor) launched() {
	s.startings = slices.DeleteFunc(s.startings, func(l *starting) bool { return l.over(0) })
	if l := s.appStarting; l != nil && l.over(0) && l.err == nil {
		s.appStarting = nil
		s.started = time.Now()
		s.log.Debugf("the kernel has started %q at last", l.process.argv[0])
		s.appStarted()
	}
}

// wake is for a child that was stopped before it had become its program, which only somebody who means harm does.
func (l *starting) wake() { _ = unix.Kill(l.pid, unix.SIGCONT) }
