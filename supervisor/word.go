package supervisor

import (
	"cmp"
	"path"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"usher/internal/file"
	"usher/signals"
	"usher/signals/entry"
	"usher/supervisor/exitcode"
	"usher/supervisor/lastword"
	"usher/supervisor/lifecycle"
	"usher/supervisor/process"
	"usher/supervisor/spawn"
)

// ending is what is gathered for the last word, beside what the stop knows.
type ending struct {
	phase       lifecycle.Phase // in which the app ended
	rss         uint64
	cpu         time.Duration
	forwarded   signals.Event  // the last signal that the app was sent for somebody else
	delivered   signals.Signal // what the app got for it
	forwardedAt time.Time
	stillThere  []lastword.Process
	killed      []lastword.Process
}

// ended is called when the app has been reaped.
func (s *Supervisor) ended(c process.Change) {
	s.ending.phase = s.life.Phase()
	s.ending.rss = uint64(c.Usage.Maxrss) * 1024
	s.ending.forwarded.Sender = named(s.ending.forwarded.Sender) // who may be among those that end with the app
	s.ending.cpu = time.Duration(c.Usage.Utime.Nano() + c.Usage.Stime.Nano())
	switch {
	case c.Status.Signaled() && c.Status.Signal() == unix.SIGKILL:
		s.memory.Killed(process.Proc{PID: c.PID, Name: path.Base(s.config.Command[0])})
	case exitcode.Of(c.Status) != 0:
		s.memory.Ended(c.PID)
	}
	if s.unheld() {
		s.notes += "; " + signals.Name(s.ending.forwarded.Signal) + " from outside the container is none of --stop-signals, and began no stop"
	}
}

// unheld is whether the app has ended on a signal from outside that was to begin a stop, by the looks of it, and did not, so that it was not held
// back: the image has a STOPSIGNAL that usher has not been told of, as nginx's has.
func (s *Supervisor) unheld() bool {
	c, from := &s.config, &s.ending.forwarded.Sender
	return !s.life.Stopped() && (c.TermDelay > 0 || c.DrainTimeout > 0 || c.PreStop != nil) && from.Known && !from.Kernel && from.PID == 0 &&
		(!s.status.Signaled() || s.status.Signal() == s.ending.delivered) && time.Since(s.ending.forwardedAt) < cmp.Or(c.GracePeriod, defaultGrace)
}

// defaultGrace is Kubernetes' terminationGracePeriodSeconds where nothing is said.
const defaultGrace = 30 * time.Second

// finish is the end: the last word, in the log where there is news.
func (s *Supervisor) finish() {
	s.commands.ReadOutputs()
	r := s.record()
	if s.tail != nil && s.group != 0 { // there was an app
		s.write(r) // there may be no time for more
		s.tail.Drain(s.life.TailDeadline())
		r.Stderr = s.tail.End()
	}
	killed := s.status.Signaled() && s.status.Signal() != unix.SIGINT && s.status.Signal() != unix.SIGPIPE // which shells don't report either
	switch {
	case s.fatal != nil && r.Stop == nil: // has been said
	case killed || r.Stop != nil || r.Note != "" || r.Restarts > 0 || r.Reason == lastword.OOMKilled:
		s.log.Infof("%s", r)
	default:
		s.log.Debugf("%s", r)
	}
	s.log.Debugf("%d orphans reaped", s.orphans)
	s.writeWithin(r, lastword.LastTime, true)
}

// exitCode is usher's: the app's, unless that is to become another, or what kept the app from having one. An app that was stopped because it
// was unhealthy has not succeeded, however well it obeys: whoever restarts containers that have failed is to restart this one.
func (s *Supervisor) exitCode() int {
	if s.fatal != nil {
		return s.fatal.ExitCode
	}
	code := s.mapped(exitcode.Of(s.status))
	if code == 0 && s.life.Progress().Cause != "" {
		return exitcode.Unhealthy
	}
	return code
}

// mapped is what becomes of an exit code.
func (s *Supervisor) mapped(code int) int {
	if to, ok := s.config.ExitCodes[code]; ok {
		return to
	}
	return code
}

// record is what can be said now. While the app lives, that is what will be true should somebody kill usher next.
func (s *Supervisor) record() *lastword.Record {
	st := s.life.Progress()
	now := st.ExitedAt
	if st.Phase.Alive() {
		now = time.Now()
	}
	r := &lastword.Record{
		Ahead:      st.Phase.Alive(),
		Uptime:     now.Sub(st.StartedAt),
		Stop:       s.stopRecord(now),
		RSS:        s.ending.rss,
		CPU:        s.ending.cpu,
		StillThere: s.ending.stillThere,
		Killed:     s.ending.killed,
		Restarts:   s.restarted,
		Note:       s.notes,
	}
	switch {
	case r.Ahead && r.Stop != nil:
		r.Reason, r.Phase = lastword.StopTimeout, st.Phase.String()
	case r.Ahead:
		r.Reason, r.Phase = lastword.Signaled, st.Phase.String()
	case s.fatal != nil:
		if r.Phase = s.ending.phase.String(); s.group == 0 { // the app has never been there
			r.Phase, r.Uptime, r.Stop = lifecycle.Preparing.String(), 0, nil
		}
		r.Reason, r.Message, r.Hint, r.ExitCode = s.fatal.Reason, s.fatal.Message, s.fatal.Hint, s.fatal.ExitCode
	default:
		r.ExitCode, r.Phase = s.exitCode(), s.ending.phase.String()
		s.appRecord(r)
	}
	if s.tail != nil {
		r.Stderr = s.tail.End()
	}
	if r.Reason != lastword.Completed || r.Stop != nil || s.word.Log != nil {
		s.memory.Complete(r, exitcode.Of(s.status), now)
	}
	return r
}

// appRecord is how the app has ended.
func (s *Supervisor) appRecord(r *lastword.Record) {
	sig := s.status.Signal()
	switch {
	case s.status.Signaled():
		r.Reason, r.Signal, r.Core = lastword.Signaled, signals.Name(sig), s.status.CoreDump()
		if sig == unix.SIGKILL && !s.life.Progress().KilledAt.IsZero() {
			r.Reason = lastword.StopTimeout
		}
		if e := s.ending.forwarded; s.ending.delivered == sig && (r.Stop == nil || e.Signal != s.life.Progress().Signal) {
			r.Sender = e.Sender.String()
		}
		if r.Reason == lastword.Signaled && r.ExitCode == 0 { // by --exit-code
			r.Reason = lastword.Completed
		}
	default:
		code := s.status.ExitStatus()
		if code != r.ExitCode {
			r.AppCode = code
		}
		r.Reason = lastword.Error
		if code == 0 || r.ExitCode == 0 {
			r.Reason = lastword.Completed
		}
	}
	if s.life.Progress().Cause != "" {
		r.Reason = lastword.Unhealthy
	}
}

// stopRecord is how the stop has gone until now; nil without one.
func (s *Supervisor) stopRecord(now time.Time) *lastword.Stop {
	st := s.life.Progress()
	if st.RequestedAt.IsZero() {
		return nil
	}
	w := &lastword.Stop{
		Signal:   signals.Name(st.Signal),
		Sender:   s.stopSender(),
		Hold:     s.timing.Hold,
		HoldOver: st.HoldReason,
		Held:     now.Sub(st.RequestedAt),
		Over:     !st.Phase.Alive(),
		Steps:    s.steps,
	}
	if st.EndedQuiet {
		w.HoldOver = "quiet for " + s.config.QuietPeriod.String()
	}
	if st.HoldOver {
		w.Held, w.Between, w.Drained = st.HeldFor, st.SignalledAt.IsZero(), s.drained
	}
	at := st.Phase
	if w.Over {
		at = s.ending.phase
	}
	switch at {
	case lifecycle.Draining:
		w.Doing = "requests being finished"
	case lifecycle.Leaving:
		w.Doing = "pre-stop at work"
	}
	if !st.SignalledAt.IsZero() {
		w.Took = max(0, now.Sub(st.SignalledAt)) // the app may have ended before, and be reaped later
		w.Told = s.firstSignal()
	}
	if !st.KilledAt.IsZero() {
		w.Grace = st.KilledAt.Sub(st.RequestedAt)
	}
	return w
}

// writeAhead brings the termination log up to date while the app lives and nothing but the memory has news. Where the kernel would kill the whole
// container there is always a word, which stands for as long as the app runs.
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

// findWord finds the log, and returns how many threads it takes to write it beside the loop. The app of a plain command line runs already, with no
// thread to spare and with kubelet's file, which has just been made.
func (s *Supervisor) findWord(running bool) (threads int) {
	c, w := &s.config, &s.word
	if c.TerminationLog == "" || !c.CreateTerminationLog && unix.Access(c.TerminationLog, unix.F_OK) == unix.ENOENT {
		return 0 // and not looked for again
	}
	w.Log, w.Inline = lastword.NewLog(c.TerminationLog, c.CreateTerminationLog, c.TerminationJSON), running
	if id := s.as; id != nil && id.UID != 0 && !id.Current() {
		w.Log.For(appIdentity(id), appIdentity(spawn.OwnIdentity()))
		threads++ // it makes threads in the place of the one that has the app's rights (runtime.LockOSThread)
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
	if grace := s.config.GracePeriod; grace > 0 && s.life.Stopped() { // what comes before may have left no more of it
		limit = min(limit, lifecycle.WordTime(grace)/4)
	}
	s.report(s.word.Write(r, limit, last))
}

func (s *Supervisor) report(err error) {
	if err != nil {
		s.log.Errorf("%v", err)
	}
}

// named is a sender with its name, if it is still there: kill(1) is gone at once, a shell is not.
func named(from signals.Sender) signals.Sender {
	if from.Known && from.PID > 0 && process.Own(unix.Getpid()) {
		p, _ := process.Read(from.PID)
		from.Name = p.Name
	}
	return from
}

// processes says of each what it waits for, as far as that may be known (proc_pid_wchan(5)).
func processes(procs []process.Proc) []lastword.Process {
	entry.Raise()
	defer entry.Restore()
	list := make([]lastword.Process, len(procs))
	for i, p := range procs {
		list[i] = lastword.Process{PID: p.PID, Name: p.Name, State: string(p.State)}
		var b [64]byte
		if n := file.ReadAt("/proc/"+strconv.Itoa(p.PID)+"/wchan", b[:], 0); n > 1 { // "0" is nothing, or not for us
			list[i].WaitsIn = string(b[:n])
		}
	}
	return list
}
