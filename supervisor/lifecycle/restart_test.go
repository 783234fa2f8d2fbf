package lifecycle

import (
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"usher/signals"
)

// runs plays an app that runs for so long each time, and returns how long after
// each end it was started again; -1 is not.
func runs(tm Timing, lives ...time.Duration) []time.Duration {
	st := Machine{timing: tm}
	now := time.Unix(0, 0)
	st.begin(now)
	var delays []time.Duration
	for _, life := range lives {
		st.decided()
		now = now.Add(life)
		actions := st.Step(&Event{Kind: AppEnded, At: now, Failed: true, Last: true})
		delay := st.now.Deadline.Sub(now)
		if st.now.Deadline.IsZero() {
			delay = 0
		} else {
			now = st.now.Deadline
			actions = st.Step(&Event{Kind: TimeUp, At: now})
		}
		if !slices.Contains(actions, Action{Verb: Launch}) {
			return append(delays, -1)
		}
		delays = append(delays, delay)
	}
	return delays
}

// Kubernetes' back-off: at once, then 10s, doubled up to 5m, and anew after 10m
// of running.
func TestBackOff(t *testing.T) {
	const s, m = time.Second, time.Minute
	always := Timing{Restart: RestartAlways}
	for _, c := range []struct {
		tm          Timing
		lives, want []time.Duration
	}{
		{Timing{}, []time.Duration{s}, []time.Duration{-1}},
		{always, []time.Duration{s, s, s, s, s, s, s, s, s}, []time.Duration{0, 10 * s, 20 * s, 40 * s, 80 * s, 160 * s, 300 * s, 300 * s, 300 * s}},
		{always, []time.Duration{s, 9 * m, 10*m - 1, 10 * m, s, s}, []time.Duration{0, 10 * s, 20 * s, 0, 10 * s, 20 * s}},
		{Timing{Restart: RestartOnFailure, RestartMax: 2}, []time.Duration{s, s, s}, []time.Duration{0, 10 * s, -1}},
		{Timing{Restart: RestartOnFailure, RestartMax: 2}, []time.Duration{s, 11 * m, s, s}, []time.Duration{0, 0, 10 * s, -1}},
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

// The back-off is counted from the app's end: what clearing up takes is part of
// it, and no more.
func TestBackOffDuringSweep(t *testing.T) {
	st := Machine{timing: Timing{Restart: RestartAlways, Stragglers: time.Hour}, now: Progress{Restarts: 1}}
	t0 := time.Unix(0, 0)
	st.begin(t0)
	st.Step(&Event{Kind: AppEnded, At: t0, Failed: true})
	st.Step(&Event{Kind: NobodyLeft, At: t0.Add(4 * time.Second)})
	if st.now.Phase != BackingOff || !st.now.Deadline.Equal(t0.Add(10*time.Second)) {
		t.Errorf("%v until %v", st.now.Phase, st.now.Deadline.Sub(t0))
	}
	st = Machine{timing: Timing{Restart: RestartAlways, Stragglers: time.Hour}, now: Progress{Restarts: 1}}
	st.begin(t0)
	st.Step(&Event{Kind: AppEnded, At: t0, Failed: true})
	if actions := st.Step(&Event{Kind: NobodyLeft, At: t0.Add(11 * time.Second)}); !slices.Contains(actions, Action{Verb: Launch}) || st.now.Phase != Running {
		t.Errorf("%v: %v", st.now.Phase, actions)
	}
	// A stop while it is swept is the end.
	st = Machine{timing: Timing{Restart: RestartAlways, Stragglers: time.Hour}}
	st.begin(t0)
	st.Step(&Event{Kind: AppEnded, At: t0, Failed: true})
	st.Step(&Event{Kind: StopRequested, At: t0, Signal: &signals.Event{Signal: unix.SIGTERM}})
	if st.Step(&Event{Kind: NobodyLeft, At: t0.Add(time.Second)}); st.now.Phase != Ended {
		t.Errorf("%v", st.now.Phase)
	}
}

// What has been sent SIGKILL has time to go before the app is started again,
// but not once that is off.
func TestClearBeforeRestart(t *testing.T) {
	t0 := time.Unix(0, 0)
	cleared := func(tm Timing) *Machine {
		st := &Machine{timing: tm}
		st.begin(t0)
		st.Step(&Event{Kind: AppEnded, At: t0, Failed: true})
		if st.now.Phase != Clearing {
			t.Fatalf("%v", st.now.Phase)
		}
		return st
	}
	for _, c := range []struct {
		st    *Machine
		until time.Duration
	}{{cleared(Timing{Restart: RestartAlways}), restartTime}, {cleared(Timing{}), clearTime}} {
		if got := c.st.now.Deadline.Sub(t0); got != c.until {
			t.Errorf("%v: until %v, want %v", c.st.timing.Restart, got, c.until)
		}
	}
	st := cleared(Timing{Restart: RestartAlways})
	st.Step(&Event{Kind: StopRequested, At: t0.Add(time.Second), Signal: &signals.Event{Signal: unix.SIGTERM}})
	if got := st.now.Deadline.Sub(t0); st.now.Phase != Clearing || got != time.Second+clearTime {
		t.Errorf("asked to stop: %v until %v", st.now.Phase, got)
	}
	if st.Step(&Event{Kind: TimeUp, At: st.now.Deadline}); st.now.Phase != Ended {
		t.Errorf("%v", st.now.Phase)
	}
}
