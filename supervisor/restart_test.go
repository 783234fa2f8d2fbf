package supervisor

import (
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"usher/signals"
)

// runs plays an app that runs for so long each time, and returns how long after each end it was started again; -1 is not.
func runs(tm timing, lives ...time.Duration) []time.Duration {
	st := stop{timing: tm}
	now := time.Unix(0, 0)
	st.open(now)
	var delays []time.Duration
	for _, life := range lives {
		st.decided()
		now = now.Add(life)
		actions := st.step(&event{kind: appEnded, at: now, failed: true, last: true})
		delay := st.deadline.Sub(now)
		if st.deadline.IsZero() {
			delay = 0
		} else {
			now = st.deadline
			actions = st.step(&event{kind: timeUp, at: now})
		}
		if !slices.Contains(actions, action{verb: launch}) {
			return append(delays, -1)
		}
		delays = append(delays, delay)
	}
	return delays
}

// Kubernetes' back-off: at once, then 10s, doubled up to 5m, and anew after 10m of running.
func TestBackOff(t *testing.T) {
	const s, m = time.Second, time.Minute
	always := timing{restart: RestartAlways}
	for _, c := range []struct {
		tm          timing
		lives, want []time.Duration
	}{
		{timing{}, []time.Duration{s}, []time.Duration{-1}},
		{always, []time.Duration{s, s, s, s, s, s, s, s, s}, []time.Duration{0, 10 * s, 20 * s, 40 * s, 80 * s, 160 * s, 300 * s, 300 * s, 300 * s}},
		{always, []time.Duration{s, 9 * m, 10*m - 1, 10 * m, s, s}, []time.Duration{0, 10 * s, 20 * s, 0, 10 * s, 20 * s}},
		{timing{restart: RestartOnFailure, restartMax: 2}, []time.Duration{s, s, s}, []time.Duration{0, 10 * s, -1}},
		{timing{restart: RestartOnFailure, restartMax: 2}, []time.Duration{s, 11 * m, s, s}, []time.Duration{0, 0, 10 * s, -1}},
	} {
		if got := runs(c.tm, c.lives...); !slices.Equal(got, c.want) {
			t.Errorf("%+v, lives of %v: %v, want %v", c.tm, c.lives, got, c.want)
		}
	}
	// A thousand restarts later it is still five minutes.
	if got := runs(always, make([]time.Duration, 1000)...); got[999] != 5*m {
		t.Errorf("the last of a thousand: %v", got[999])
	}
}

// The back-off is counted from the app's end: what clearing up takes is part of it, and no more.
func TestBackOffDuringSweep(t *testing.T) {
	st := stop{timing: timing{restart: RestartAlways, stragglers: time.Hour}, restarts: 1}
	t0 := time.Unix(0, 0)
	st.open(t0)
	st.step(&event{kind: appEnded, at: t0, failed: true})
	st.step(&event{kind: nobodyLeft, at: t0.Add(4 * time.Second)})
	if st.phase != backingOff || !st.deadline.Equal(t0.Add(10*time.Second)) {
		t.Errorf("%v until %v", st.phase, st.deadline.Sub(t0))
	}
	st = stop{timing: timing{restart: RestartAlways, stragglers: time.Hour}, restarts: 1}
	st.open(t0)
	st.step(&event{kind: appEnded, at: t0, failed: true})
	if actions := st.step(&event{kind: nobodyLeft, at: t0.Add(11 * time.Second)}); !slices.Contains(actions, action{verb: launch}) || st.phase != running {
		t.Errorf("%v: %v", st.phase, actions)
	}
	// A stop while it is swept is the end.
	st = stop{timing: timing{restart: RestartAlways, stragglers: time.Hour}}
	st.open(t0)
	st.step(&event{kind: appEnded, at: t0, failed: true})
	st.step(&event{kind: stopAsked, at: t0, signal: &signals.Event{Signal: unix.SIGTERM}})
	if st.step(&event{kind: nobodyLeft, at: t0.Add(time.Second)}); st.phase != ended {
		t.Errorf("%v", st.phase)
	}
}

// What has been sent SIGKILL has time to go before the app is started again, but not once that is off.
func TestClearBeforeRestart(t *testing.T) {
	t0 := time.Unix(0, 0)
	cleared := func(tm timing) *stop {
		st := &stop{timing: tm}
		st.open(t0)
		st.step(&event{kind: appEnded, at: t0, failed: true})
		if st.phase != clearing {
			t.Fatalf("%v", st.phase)
		}
		return st
	}
	for _, c := range []struct {
		st    *stop
		until time.Duration
	}{{cleared(timing{restart: RestartAlways}), restartTime}, {cleared(timing{}), clearTime}} {
		if got := c.st.deadline.Sub(t0); got != c.until {
			t.Errorf("%v: until %v, want %v", c.st.timing.restart, got, c.until)
		}
	}
	st := cleared(timing{restart: RestartAlways})
	st.step(&event{kind: stopAsked, at: t0.Add(time.Second), signal: &signals.Event{Signal: unix.SIGTERM}})
	if got := st.deadline.Sub(t0); st.phase != clearing || got != time.Second+clearTime {
		t.Errorf("asked to stop: %v until %v", st.phase, got)
	}
	if st.step(&event{kind: timeUp, at: st.deadline}); st.phase != ended {
		t.Errorf("%v", st.phase)
	}
}
