package supervisor

import (
	"time"

	"golang.org/x/sys/unix"

	"usher/signals"
	"usher/supervisor/lastword"
)

// finish is the end: the last word, in the log where there is news.
func (s *Supervisor) finish() {
	r := s.record()
	killed := s.status.Signaled() && s.status.Signal() != unix.SIGINT && s.status.Signal() != unix.SIGPIPE // which shells don't report either
	if killed || r.Stop != nil {
		s.log.Infof("%s", r)
	} else {
		s.log.Debugf("%s", r)
	}
	s.log.Debugf("%d orphans reaped", s.orphans)
	s.write(r)
}

// exitCode is usher's: the app's, unless that is to become another.
func (s *Supervisor) exitCode() int {
	code := exitCode(s.status)
	if to, ok := s.config.ExitCodes[code]; ok {
		return to
	}
	return code
}

// record is what can be said now. While the app lives, that is what will be true should somebody kill usher next.
func (s *Supervisor) record() lastword.Record {
	st := &s.stop
	if st.phase.alive() {
		now := time.Now()
		return lastword.Record{Reason: lastword.StopTimeout, Uptime: now.Sub(s.started), Stop: s.stopRecord(now)}
	}
	r := lastword.Record{Reason: lastword.Error, ExitCode: s.exitCode(), Uptime: st.over.Sub(s.started), Stop: s.stopRecord(st.over)}
	switch {
	case s.status.Signaled():
		r.Reason, r.Signal, r.Core = lastword.Signaled, signals.Name(s.status.Signal()), s.status.CoreDump()
		if s.status.Signal() == unix.SIGKILL && !st.killed.IsZero() {
			r.Reason = lastword.StopTimeout
		}
	case s.status.ExitStatus() == 0:
		r.Reason = lastword.Completed
	}
	return r
}

// stopRecord is how the stop has gone until now; nil without one.
func (s *Supervisor) stopRecord(now time.Time) *lastword.Stop {
	st := &s.stop
	if st.began.IsZero() {
		return nil
	}
	w := &lastword.Stop{
		Signal:   signals.Name(st.signal.Signal),
		Sender:   st.signal.Sender.String(),
		Hold:     st.timing.hold,
		HoldOver: st.holdOver,
		Held:     now.Sub(st.began),
		Over:     !st.phase.alive(),
	}
	if !st.told.IsZero() {
		w.Held, w.Took = st.told.Sub(st.began), now.Sub(st.told)
		w.Told = signals.Name(s.config.Rewrites.Apply(st.signal.Signal))
	}
	if !st.killed.IsZero() {
		w.Grace = st.killed.Sub(st.began)
	}
	return w
}

func (s *Supervisor) write(r lastword.Record) {
	if err := s.word.Write(r.String()); err != nil {
		s.log.Errorf("%v", err)
	}
}
