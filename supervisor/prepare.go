package supervisor

import (
	"time"

	"usher/signals"
)

// What comes before the app and with its start.

// open begins: with the next preparation, or with the app.
func (s *stop) open(at time.Time) {
	if s.done == len(s.timing.prepare) {
		s.enter(running, at, noLimit, 0)
		s.started = at
		s.do(launch)
		return
	}
	s.enter(preparing, at, s.timing.prepare[s.done], 0)
	s.beginHook(prepare)
}

func (s *stop) beginHook(v verb) {
	s.hooked = true
	s.do(v)
}

// endHook is for a hook that is at work, and that nobody waits for any more.
//
//go:noinline
func (s *stop) endHook(v verb) {
	if s.hooked {
		s.hooked = false
		s.do(v)
	}
}

func (s *stop) prepared(e *event) {
	s.hooked = false
	if e.failed {
		s.final = true
		s.gone(e)
		return
	}
	s.done++
	s.open(e.at)
}

func (s *stop) unprepared(e *event) {
	s.endHook(expire)
	s.final = true
	s.gone(e)
}

// keep: who has sent it means the app.
func (s *stop) keep(e *event) { s.act(action{verb: save, signal: e.signal}) }

// forgo: what is at work before the app gets SIGTERM, and time to end, as what the app itself leaves behind has.
func (s *stop) forgo(e *event) {
	s.note(e)
	s.endHook(disown)
	s.gone(e)
}

func (s *stop) startedUp(e *event) {
	if s.timing.postStart != 0 {
		s.enter(running, e.at, s.timing.postStart, 0)
		s.beginHook(postStart)
	}
}

// postStarted: a failure of that hook ends the app, as in Kubernetes.
func (s *stop) postStarted(e *event) {
	s.hooked, s.deadline = false, time.Time{}
	if e.failed {
		const why = "post-start failed"
		s.begin(&event{at: e.at, signal: &signals.Event{Signal: s.timing.stopSignal}, cause: why, noHold: why})
	}
}

func (s *stop) postStartLate(e *event) {
	s.endHook(expire)
	s.postStarted(&event{at: e.at, failed: true})
}
