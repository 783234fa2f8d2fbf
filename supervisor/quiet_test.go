package supervisor

import (
	"testing"
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
