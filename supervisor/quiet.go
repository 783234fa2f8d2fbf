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

// A stop that waits for the end of traffic looks at it from a goroutine of its own, which tells the loop once that it is there, and ends
// with the phase. At other times nothing is read.

// watched is what the loop and such a goroutine know of each other.
type watched struct {
	ports  *socket.Ports // of usher's own checks; nil if no stop looks at traffic
	phase  atomic.Uint32 // the loop's
	waited bool          // there was something to wait for; the loop's own
	busy   atomic.Int32  // connections with unfinished business, at the last look
}

// How long it is from one look to the next.
const (
	// holdLooks is for what comes and goes: of the rest, a look knows when it moved last.
	holdLooks  = 250 * time.Millisecond
	drainLooks = 50 * time.Millisecond
	// restShare bounds what looking takes, where there are tens of thousands of connections, to a 20th of one CPU.
	// It is a share of CPU time: a look that had to wait for its turn on a busy machine is not followed by a long rest.
	restShare = 20
)

// nextLook is how long to wait before the next look, in a phase of a stop that began at t0; not positive is that traffic is over:
// that nothing has come in or moved for the quiet period, which begins at t0 at the earliest, or that nothing is left to be answered.
func nextLook(p lifecycle.Phase, look traffic.Look, t0, now time.Time, quietPeriod time.Duration) time.Duration {
	if p == lifecycle.Draining {
		return min(time.Duration(look.Busy), 1) * drainLooks
	}
	if look.Active.After(t0) {
		t0 = look.Active
	}
	return min(t0.Add(quietPeriod).Sub(now), holdLooks)
}

// watch looks while usher is in a phase that waits for traffic.
func (s *Supervisor) watch(p lifecycle.Phase, t0 time.Time) {
	w := &traffic.Watcher{Own: s.traffic.ports.Has, Ignore: s.config.QuietIgnore}
	w.NewOnly = s.config.QuietNewOnly && p == lifecycle.Holding
	if s.server != nil {
		w.Ports = s.server.Ports()
	}
	fallback, err := w.Open()
	defer w.Close()
	if fallback != nil && err == nil {
		s.tell(event.Event{Kind: event.TrafficFallback, Reason: fallback.Error()})
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
		s.tell(event.Event{Kind: event.TrafficUnseen, Reason: err.Error()})
	}
}

// awaitQuiet looks until traffic is over, which it reports. After each look it
// tells stay how many connections are busy, and ends if stay says no.
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

// cpuTime returns what usher has used; 0 where it may not ask.
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

// left logs how a phase has ended that waits for traffic.
func (s *Supervisor) left(p lifecycle.Phase, e *lifecycle.Event) {
	st := s.life.Progress()
	took := e.At.Sub(st.RequestedAt.Add(st.HeldFor))
	drained := event.Event{Kind: event.DrainCut, At: e.At, Took: took}
	switch {
	case p == lifecycle.Holding:
		over := event.Event{Kind: event.HoldOver, At: e.At, Took: st.HeldFor, Reason: st.HoldReason}
		if e.Kind == lifecycle.TrafficQuiet {
			over.Kind, over.Reason = event.QuietReached, s.report.Quiet
			over.Quiet, over.Limit = s.config.QuietPeriod, s.config.TermDelay
		}
		s.tell(over)
		return
	case p != lifecycle.Draining, e.Kind == lifecycle.AppEnded, e.Kind == lifecycle.TrafficDrained && !s.traffic.waited:
		return // there was nothing to wait for
	case e.Kind == lifecycle.TrafficDrained:
		drained.Kind = event.Drained
	default:
		drained.Count = int(s.traffic.busy.Load())
	}
	s.report.Drained = drained.Text()
	s.tell(drained)
}
