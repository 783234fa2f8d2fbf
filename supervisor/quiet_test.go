package supervisor

import (
	"testing"
	"time"

	"usher/supervisor/traffic"
)

func TestNextLook(t *testing.T) {
	const period = 3 * time.Second
	t0 := time.Unix(1000, 0)
	at := func(s float64) time.Time { return t0.Add(time.Duration(s * float64(time.Second))) }
	for _, tt := range []struct {
		name   string
		p      phase
		now    float64
		active float64 // since t0
		busy   int
		want   time.Duration // at most 0 is that traffic is over
	}{
		{"at t0, idle for an hour", holding, 0, -3600, 0, holdLooks},
		{"at t0, a byte just now", holding, 0, 0, 0, holdLooks},
		{"just before the quiet period is over", holding, 2.9, -1, 0, 100 * time.Millisecond},
		{"the quiet period has passed since t0", holding, 3, -1, 0, 0},
		{"later than that", holding, 3.1, -1, 0, -100 * time.Millisecond},
		{"a byte after t0", holding, 3, 1, 0, holdLooks},
		{"just before it has passed since then", holding, 3.9, 1, 0, 100 * time.Millisecond},
		{"it has passed since then", holding, 4, 1, 0, 0},
		{"busy does not matter to the hold", holding, 4, 1, 7, 0},
		{"something to be answered", draining, 4, 4, 1, drainLooks},
		{"much to be answered", draining, 4, -10, 10_000, drainLooks},
		{"all is answered", draining, 4, 4, 0, 0},
	} {
		if got := nextLook(tt.p, traffic.Look{Active: at(tt.active), Busy: tt.busy}, t0, at(tt.now), period); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
	if got := nextLook(holding, traffic.Look{}, t0, at(3), period); got != 0 {
		t.Errorf("nothing ever seen: %v", got)
	}
}
