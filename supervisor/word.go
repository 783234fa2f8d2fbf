package supervisor

import (
	"cmp"
	"path"
	"time"

	"golang.org/x/sys/unix"

	"usher/signals"
	"usher/supervisor/ending"
	"usher/supervisor/event"
	"usher/supervisor/exitcode"
	"usher/supervisor/lastword"
	"usher/supervisor/lifecycle"
	"usher/supervisor/process"
	"usher/supervisor/spawn"
)

// ended is called when the app has been reaped.
func (s *Supervisor) ended(c process.Change) {
	run := &s.ending.Run
	run.Status = c.Status
	run.Phase = s.life.Phase()
	run.RSS = uint64(c.Usage.Maxrss) * 1024
	run.CPU = time.Duration(c.Usage.Utime.Nano() + c.Usage.Stime.Nano())
	run.Forwarded.Sender = ending.Named(run.Forwarded.Sender) // look it up now: the sender may end with the app
	switch {
	case c.Status.Signaled() && c.Status.Signal() == unix.SIGKILL:
		s.memory.Killed(process.Proc{PID: c.PID, Name: path.Base(s.config.Command[0])})
	case exitcode.Of(c.Status) != 0:
		s.memory.Ended(c.PID)
	}
	if s.missedHold() {
		s.ending.Notes = append(s.ending.Notes, signals.Name(run.Forwarded.Signal)+
			" from outside the container is none of --stop-signals, and began no stop")
	}
	s.view.Counters.ExitCode.Store(int64(exitcode.Of(c.Status)))
	s.view.Counters.Ends.Add(1)
}

// missedHold reports whether the app exited on a signal from outside that is
// not in --stop-signals, although there is a hold, a drain or a pre-stop hook.
// Typically the image sets a STOPSIGNAL that usher was not told about, as
// nginx's does.
func (s *Supervisor) missedHold() bool {
	c, run := &s.config, &s.ending.Run
	from := &run.Forwarded.Sender
	return !s.life.Stopped() && (c.TermDelay > 0 || c.DrainTimeout > 0 || c.PreStop != nil) &&
		from.Known && !from.Kernel && from.PID == 0 &&
		(!run.Status.Signaled() || run.Status.Signal() == run.ForwardedAs) &&
		time.Since(run.ForwardedAt) < cmp.Or(c.GracePeriod, defaultGrace)
}

// defaultGrace is Kubernetes' default of terminationGracePeriodSeconds.
const defaultGrace = 30 * time.Second

// finish writes the last word. It also logs it, at a level that depends on
// whether it is news.
func (s *Supervisor) finish() {
	s.commands.ReadOutputs()
	r := s.record()
	if s.tail != nil && s.app.group != 0 { // there was an app
		s.write(r) // there may be no time for more
		s.tail.Drain(s.life.TailDeadline())
		r.Stderr = s.tail.End()
	}
	status := s.ending.Run.Status
	// Shells don't report these two either.
	killed := status.Signaled() && status.Signal() != unix.SIGINT && status.Signal() != unix.SIGPIPE
	ended := event.Event{
		Kind:     event.EndedPlain,
		Message:  r.String(),
		Reason:   string(r.Reason),
		ExitCode: r.ExitCode,
		Signal:   r.Signal,
		Phase:    r.Phase,
		Took:     r.Uptime,
	}
	switch {
	case s.ending.Run.Fatal != nil && r.Stop == nil: // an event has reported that already
		ended.Kind = event.EndedBefore
	case killed || r.Stop != nil || len(r.Notes) > 0 || r.Restarts > 0 || r.Reason == lastword.OOMKilled:
		ended.Kind = event.Ended
	}
	s.emit(ended)
	s.emit(event.Event{Kind: event.OrphansReaped, Count: s.children.orphans})
	if s.log.Verbose() {
		s.emit(event.Event{Kind: event.Summary, Message: s.view.Timeline.Line()})
	}
	s.writeWithin(r, lastword.LastTime, true)
}

// record returns what is known now, with what the tail and the memory watch
// have.
func (s *Supervisor) record() *lastword.Record {
	s.ending.HadApp = s.app.group != 0
	r := s.ending.Record()
	if s.tail != nil {
		r.Stderr = s.tail.End()
	}
	if r.Reason != lastword.Completed || r.Stop != nil || s.word.Log != nil {
		s.memory.Complete(r, exitcode.Of(s.ending.Run.Status), s.life.Progress().ExitedAt)
	}
	if s.config.TerminationJSON {
		r.Timeline = s.view.Timeline.Elements()
	}
	return r
}

// writeAhead updates the termination log while the app lives, but only if there
// is news about memory. If an OOM kill would take the whole container, the log
// is never empty: one record stays there as long as the app runs.
func (s *Supervisor) writeAhead() {
	r := s.record()
	if r.Stop == nil && r.Memory.Reached.IsZero() {
		if !r.Memory.Whole {
			r = &lastword.Nothing
		} else {
			r.Uptime = 0
		}
	}
	s.write(r)
}

// findWord finds the termination log. It returns how many threads usher needs
// to write it beside the loop. If the app runs already, started from a plain
// command line, there are no threads to spare, and the file is kubelet's, which
// is new.
func (s *Supervisor) findWord(running bool) (threads int) {
	c, w := &s.config, &s.word
	if c.TerminationLog == "" || !c.CreateTerminationLog && unix.Access(c.TerminationLog, unix.F_OK) == unix.ENOENT {
		return 0 // usher does not look for it again
	}
	w.Log, w.Inline = lastword.NewLog(c.TerminationLog, c.CreateTerminationLog, c.TerminationJSON), running
	if id := s.user; id != nil && id.UID != 0 && !id.Current() {
		w.Log.For(appIdentity(id), appIdentity(spawn.OwnIdentity()))
		threads++ // replaces the thread that gets the app's rights (runtime.LockOSThread)
	}
	if !running {
		threads++
	}
	return threads
}

func appIdentity(id *spawn.Identity) *lastword.App {
	return &lastword.App{UID: id.UID, GID: id.GID, Groups: id.Groups}
}

func (s *Supervisor) write(r *lastword.Record) { s.writeWithin(r, lastword.WriteTime, false) }

func (s *Supervisor) writeWithin(r *lastword.Record, limit time.Duration, last bool) {
	if grace := s.config.GracePeriod; grace > 0 && s.life.Stopped() { // little of it may be left
		limit = min(limit, lifecycle.WordTime(grace)/4)
	}
	s.logError(s.word.Write(r, limit, last))
}

func (s *Supervisor) logError(err error) {
	if err != nil {
		s.log.Errorf("%v", err)
	}
}
