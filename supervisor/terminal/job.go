package terminal

import (
	"slices"

	"golang.org/x/sys/unix"

	"usher/signals"
	"usher/supervisor/event"
)

// Log takes what is of interest in a search for an error. It must not block.
type Log interface {
	Event(e *event.Event)
	Debugf(format string, args ...any)
}

// Job is the app as a job of a shell, with usher between the two.
type Job struct {
	TTY
	Self int // usher's pid
	Log  Log

	hangup []signals.Signal // those that the kernel is about to send for the release of the terminal
}

// Suspended handles an app that was stopped by a signal. If a shell runs usher
// as a job, it has to see usher stop. If there is no such shell, no process
// could resume the app. Without usher, Ctrl-Z would not have stopped it: PID 1
// and orphaned groups are immune to that.
func (j *Job) Suspended(sig signals.Signal, group int) {
	switch {
	case sig == unix.SIGSTOP || j.FD < 0 || j.StopSent: // the sender will resume the app
	case j.IsForeground(unix.Getpgrp()):
		// The shell has brought usher to the foreground, for which there is no signal,
		// and the app has tried to read.
		j.Resume(group, true)
	case UnderShell():
		j.Log.Event(&event.Event{Kind: event.AppPaused, Signal: signals.Name(sig)})
		j.StopSelf()
	case sig == unix.SIGTSTP && j.IsForeground(group):
		_ = unix.Kill(-group, unix.SIGCONT)
	}
}

// Resume resumes the app's whole group if the app is stopped, since all of it
// was stopped. If a shell's `fg` has made usher's group the foreground group,
// Resume hands that to the app's. It reports whether it has sent SIGCONT to the
// app. group is 0 if there is no app.
func (j *Job) Resume(group int, stopped bool) bool {
	j.StopSent = false
	if j.FD < 0 || group == 0 {
		return false
	}
	j.Hand(unix.Getpgrp(), group)
	return stopped && unix.Kill(-group, unix.SIGCONT) == nil
}

// ReleaseTerminal gives up the terminal on stdin, so that the app's session can
// have it.
func (j *Job) ReleaseTerminal() {
	if err := j.Release(); err != nil {
		j.Log.Debugf("no terminal to hand to the app's session: %v", err)
		return
	}
	if sid, err := unix.Getsid(0); err == nil && sid == j.Self {
		// The kernel then hangs up on the whole group, usher included (dumb-init#136).
		j.hangup = []signals.Signal{unix.SIGHUP, unix.SIGCONT}
	}
}

// IsHangup reports whether e is the SIGHUP or SIGCONT that the kernel has sent
// because usher released its terminal. Such a signal is not forwarded. Each comes
// once, and where the sender is known, it is usher itself.
func (j *Job) IsHangup(e signals.Event) bool {
	i := slices.Index(j.hangup, e.Signal)
	if i < 0 || e.Sender.Known && e.Sender.PID != j.Self {
		return false
	}
	j.hangup = slices.Delete(j.hangup, i, i+1)
	j.Log.Debugf("the kernel has sent %s because usher released the terminal", signals.Name(e.Signal))
	return true
}

// StopSelf stops usher until it gets SIGCONT. PID 1 is immune to that.
func (j *Job) StopSelf() { _ = unix.Kill(j.Self, unix.SIGSTOP) }
