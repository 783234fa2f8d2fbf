package supervisor

import (
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"usher/healthz/socket"
	"usher/supervisor/event"
	"usher/supervisor/lifecycle"
	"usher/supervisor/traffic"
)

// A stop that waits for the end of traffic starts a goroutine that looks at
// traffic. It tells the loop once that traffic has ended, and it ends with the
// phase. At other times usher does not look at traffic.

// watched is shared by the loop and that goroutine.
type watched struct {
	ports  *socket.Ports // of usher's own checks; nil if no stop looks at traffic
	phase  atomic.Uint32 // the loop's phase
	waited bool          // there was something to wait for; belongs to the loop
	busy   atomic.Int32  // connections with unfinished business, at the last look
}

// Time between two looks.
const (
	// holdLooks is short enough for connections that come and go. For connections
	// that stay, the kernel knows when data moved last.
	holdLooks  = 250 * time.Millisecond
	drainLooks = 50 * time.Millisecond
	// restShare limits the looks to a 20th of one CPU, in case of tens of thousands
	// of connections. It is a share of CPU time: a look that had to wait for its
	// turn on a busy machine is not followed by a long rest.
	restShare = 20
)

// nextLook returns how long to wait before the next look, in a phase of a stop
// that began at t0. If the result is not positive, traffic has ended. In a hold
// that means: nothing has come in or moved for the quiet period, which begins
// at t0 or later. In a drain: no request is left to be answered.
func nextLook(p lifecycle.Phase, look traffic.Look, t0, now time.Time, quietPeriod time.Duration) time.Duration {
	if p == lifecycle.Draining {
		return min(time.Duration(look.Busy), 1) * drainLooks
	}
	if look.Active.After(t0) {
		t0 = look.Active
	}
	return min(t0.Add(quietPeriod).Sub(now), holdLooks)
}

// watch looks at traffic while usher is in a phase that waits for its end.
func (s *Supervisor) watch(p lifecycle.Phase, t0 time.Time) {
	w := &traffic.Watcher{Own: s.traffic.ports.Has, Ignore: s.config.QuietIgnore}
	w.NewOnly = s.config.QuietNewOnly && p == lifecycle.Holding
	if s.server != nil {
		w.Ports = s.server.Ports()
	}
	fallback, err := w.Open()
	defer w.Close()
	if fallback != nil && err == nil {
		s.emit(event.Event{Kind: event.TrafficFallback, Reason: fallback.Error()})
	}
	if err == nil {
		over, looks := false, 0
		over, err = awaitQuiet(p, t0, s.config.QuietPeriod, w.Look, func(busy int) bool {
			looks++
			s.traffic.busy.Store(int32(busy))
			return lifecycle.Phase(s.traffic.phase.Load()) == p
		})
		if over {
			s.post(func() {
				s.traffic.waited = looks > 1
				s.trafficOver(p)
			})
		}
	}
	if err != nil {
		s.emit(event.Event{Kind: event.TrafficUnseen, Reason: err.Error()})
	}
}

// awaitQuiet looks until traffic has ended, which it reports. After each look
// it passes the number of busy connections to stay, and ends if stay returns
// false.
func awaitQuiet(p lifecycle.Phase, t0 time.Time, quietPeriod time.Duration, look func() (traffic.Look, error),
	stay func(busy int) bool) (over bool, err error) {
	for {
		began := cpuTime()
		found, err := look()
		if err != nil || !stay(found.Busy) {
			return false, err
		}
		wait := nextLook(p, found, t0, time.Now(), quietPeriod)
		if wait <= 0 {
			return true, nil
		}
		time.Sleep(max(wait, restShare*(cpuTime()-began)))
	}
}

// cpuTime returns the CPU time that usher has used, or 0 if the kernel refuses
// to say.
func cpuTime() time.Duration {
	var t unix.Timespec
	unix.RawSyscall(unix.SYS_CLOCK_GETTIME, unix.CLOCK_PROCESS_CPUTIME_ID, uintptr(unsafe.Pointer(&t)), 0)
	return time.Duration(t.Sec)*time.Second + time.Duration(t.Nsec)
}

func (s *Supervisor) trafficOver(p lifecycle.Phase) {
	e := lifecycle.Event{Kind: lifecycle.TrafficQuiet, At: time.Now()}
	if p == lifecycle.Draining {
		e.Kind = lifecycle.TrafficDrained
	}
	s.step(&e)
}

// left logs the end of a phase that waits for traffic.
func (s *Supervisor) left(p lifecycle.Phase, e *lifecycle.Event) {
	st := s.life.Progress()
	took := e.At.Sub(st.RequestedAt.Add(st.HeldFor))
	drained := event.Event{Kind: event.DrainCut, At: e.At, Took: took}
	switch {
	case p == lifecycle.Holding:
		over := event.Event{Kind: event.HoldOver, At: e.At, Took: st.HeldFor, Reason: st.HoldReason}
		if e.Kind == lifecycle.TrafficQuiet {
			over.Kind, over.Reason = event.QuietReached, s.ending.Quiet
			over.Quiet, over.Limit = s.config.QuietPeriod, s.config.TermDelay
		}
		s.emit(over)
		return
	case p != lifecycle.Draining,
		e.Kind == lifecycle.AppEnded,
		e.Kind == lifecycle.TrafficDrained && !s.traffic.waited:
		return // there was nothing to wait for
	case e.Kind == lifecycle.TrafficDrained:
		drained.Kind = event.Drained
	default:
		drained.Count = int(s.traffic.busy.Load())
	}
	s.ending.Drained = drained.Text()
	s.emit(drained)
}
