package supervisor

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"usher/supervisor/lifecycle"
	"usher/supervisor/traffic"
)

func TestNextLook(t *testing.T) {
	const period = 3 * time.Second
	t0 := time.Unix(1000, 0)
	at := func(s float64) time.Time { return t0.Add(time.Duration(s * float64(time.Second))) }
	for _, tt := range []struct {
		name   string
		p      lifecycle.Phase
		now    float64
		active float64 // since t0
		busy   int
		want   time.Duration // at most 0 is that traffic is over
	}{
		{"at t0, idle for an hour", lifecycle.Holding, 0, -3600, 0, holdLooks},
		{"at t0, a byte just now", lifecycle.Holding, 0, 0, 0, holdLooks},
		{"just before the quiet period is over", lifecycle.Holding, 2.9, -1, 0, 100 * time.Millisecond},
		{"the quiet period has passed since t0", lifecycle.Holding, 3, -1, 0, 0},
		{"later than that", lifecycle.Holding, 3.1, -1, 0, -100 * time.Millisecond},
		{"a byte after t0", lifecycle.Holding, 3, 1, 0, holdLooks},
		{"just before it has passed since then", lifecycle.Holding, 3.9, 1, 0, 100 * time.Millisecond},
		{"it has passed since then", lifecycle.Holding, 4, 1, 0, 0},
		{"busy does not matter to the hold", lifecycle.Holding, 4, 1, 7, 0},
		{"something to be answered", lifecycle.Draining, 4, 4, 1, drainLooks},
		{"much to be answered", lifecycle.Draining, 4, -10, 10_000, drainLooks},
		{"all is answered", lifecycle.Draining, 4, 4, 0, 0},
	} {
		if got := nextLook(tt.p, traffic.Look{Active: at(tt.active), Busy: tt.busy}, t0, at(tt.now), period); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
	if got := nextLook(lifecycle.Holding, traffic.Look{}, t0, at(3), period); got != 0 {
		t.Errorf("nothing ever seen: %v", got)
	}
}

// What a watch looks like over time, and when it ends.
func TestAwaitQuiet(t *testing.T) {
	const period = 3 * time.Second
	for _, tt := range []struct {
		name   string
		p      lifecycle.Phase
		active []float64 // seconds since t0 at which something counts
		busy   float64   // until when a request is being answered
		left   float64   // when usher leaves the phase; 0 is not before the end
		want   float64   // when it ends
	}{
		{name: "nothing counts", p: lifecycle.Holding, active: []float64{-10}, want: 3},
		{name: "the last one at 1.1s", p: lifecycle.Holding, active: []float64{0.1, 0.9, 1.1}, want: 4.1},
		{name: "just in time", p: lifecycle.Holding, active: []float64{2.9}, want: 5.9},
		{name: "too late to count", p: lifecycle.Holding, active: []float64{3.1}, want: 3},
		{name: "another signal ends the hold", p: lifecycle.Holding, active: []float64{0, 2, 4, 6}, left: 5, want: 5},
		{name: "a request until 1s", p: lifecycle.Draining, busy: 1, want: 1},
		{name: "usher leaves before", p: lifecycle.Draining, busy: 1, left: 0.5, want: 0.5},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				t0 := time.Now()
				since := func() float64 { return time.Since(t0).Seconds() }
				look := func() (l traffic.Look, err error) {
					for _, at := range tt.active {
						if at <= since() {
							l.Active = t0.Add(time.Duration(at * float64(time.Second)))
						}
					}
					if since() < tt.busy {
						l.Busy = 1
					}
					return l, nil
				}
				over, err := awaitQuiet(tt.p, t0, period, look, func(int) bool { return tt.left == 0 || since() < tt.left })
				if err != nil || over != (tt.left == 0) {
					t.Errorf("over %v, %v", over, err)
				}
				if got := since(); got < tt.want-1e-6 || got > tt.want+holdLooks.Seconds() {
					t.Errorf("ended after %vs, want %vs", got, tt.want)
				}
			})
		})
	}
	looks := 0
	over, err := awaitQuiet(lifecycle.Holding, time.Now(), period, func() (traffic.Look, error) {
		looks++
		return traffic.Look{}, errors.New("gone")
	}, func(int) bool { return true })
	if over || err == nil || looks != 1 {
		t.Errorf("a look fails: over %v, %v, %d looks", over, err, looks)
	}
}

// Looks that take CPU time are rare, those that only take long are not.
func TestLooksRest(t *testing.T) {
	for _, tt := range []struct {
		name  string
		look  func()
		least int // number of looks
		most  int
	}{
		{"busy", func() {
			for began := cpuTime(); cpuTime()-began < 50*time.Millisecond; {
			}
		}, 2, 4},
		{"waiting", func() { time.Sleep(100 * time.Millisecond) }, 6, 12},
	} {
		synctest.Test(t, func(t *testing.T) {
			looks := 0
			over, err := awaitQuiet(lifecycle.Holding, time.Now(), 3*time.Second, func() (traffic.Look, error) {
				looks++
				tt.look()
				return traffic.Look{}, nil
			}, func(int) bool { return true })
			if !over || err != nil || looks < tt.least || looks > tt.most {
				t.Errorf("%s: over %v, %v, %d looks, want %d to %d", tt.name, over, err, looks, tt.least, tt.most)
			}
		})
	}
}
