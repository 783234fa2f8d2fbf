package check

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

const sec = time.Second

// startProber runs a prober in a synctest bubble and returns it; starts gets the moments at which ask began.
func startProber(t *testing.T, p Params, ask func(ctx context.Context, n int) error) (prober *Prober, starts *[]time.Duration, cancel func()) {
	began := time.Now()
	starts = new([]time.Duration)
	running := false
	prober = newProber("ready-1", p, func(ctx context.Context) error {
		if running {
			t.Error("two probes at a time")
		}
		running = true
		defer func() { running = false }()
		*starts = append(*starts, time.Since(began))
		return ask(ctx, len(*starts))
	})
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		prober.Run(ctx)
	}()
	return prober, starts, func() {
		stop()
		<-done
	}
}

func wantStarts(t *testing.T, got []time.Duration, want ...time.Duration) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("probes at %v, want %v", got, want)
	}
}

func TestProberRhythm(t *testing.T) {
	for _, tt := range []struct {
		name   string
		delay  time.Duration
		takes  func(n int) time.Duration
		starts []time.Duration
	}{
		{"at once", 0, func(int) time.Duration { return 0 }, []time.Duration{0, 10 * sec, 20 * sec, 30 * sec}},
		{"delayed", 15 * sec, func(int) time.Duration { return 0 }, []time.Duration{15 * sec, 25 * sec, 35 * sec}},
		{"start to start", 0, func(n int) time.Duration { return time.Duration(n) * sec }, []time.Duration{0, 10 * sec, 20 * sec, 30 * sec}},
		{"a slow one leaves out a moment", 0, func(n int) time.Duration {
			if n == 2 {
				return 14 * sec
			}
			return sec
		}, []time.Duration{0, 10 * sec, 30 * sec}},
		{"exactly a period", 0, func(int) time.Duration { return 10 * sec }, []time.Duration{0, 20 * sec}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := DefaultParams()
				p.InitialDelay, p.Timeout = tt.delay, 20*sec
				_, starts, cancel := startProber(t, p, func(_ context.Context, n int) error {
					time.Sleep(tt.takes(n))
					return nil
				})
				time.Sleep(39 * sec)
				cancel()
				wantStarts(t, *starts, tt.starts...)
			})
		})
	}
}

func TestProberStates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := DefaultParams()
		p.InitialDelay = 5 * sec
		var healthy atomic.Bool
		prober, _, cancel := startProber(t, p, func(context.Context, int) error {
			if !healthy.Load() {
				return errors.New("connection refused")
			}
			return nil
		})
		defer cancel()
		at := func(second int, now bool, want Status) {
			t.Helper()
			synctest.Wait()
			if got := prober.Status(); got != want {
				t.Errorf("at %ds: %+v, want %+v", second, got, want)
			}
			healthy.Store(now)
			time.Sleep(10 * sec)
		}
		time.Sleep(sec)
		at(1, false, Status{false, "not yet checked"})
		at(11, true, Status{false, "connection refused"}) // probed at 5
		at(21, false, Status{true, ""})
		at(31, false, Status{true, ""}) // one failure
		at(41, false, Status{true, ""}) // two
		at(51, true, Status{false, "connection refused (3 times in a row)"})
		at(61, true, Status{true, ""})
		if prober.Name() != "ready-1" {
			t.Error(prober.Name())
		}
	})
}

// TestProberTimeout: a check that hangs is ended by its timeout, is a failure, and the next comes in its turn.
func TestProberTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := DefaultParams()
		prober, starts, cancel := startProber(t, p, func(ctx context.Context, n int) error {
			if deadline, ok := ctx.Deadline(); !ok || time.Until(deadline) != sec {
				t.Errorf("deadline %v, %v", deadline, ok)
			}
			<-ctx.Done()
			return ctx.Err()
		})
		time.Sleep(25 * sec)
		cancel()
		wantStarts(t, *starts, 0, 10*sec, 20*sec)
		if got := prober.Status(); got.OK || got.Failure != "context deadline exceeded (3 times in a row)" {
			t.Errorf("%+v", got)
		}
	})
}

// TestProberPanic: a panic is a failure; probing goes on.
func TestProberPanic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		prober, starts, cancel := startProber(t, DefaultParams(), func(_ context.Context, n int) error {
			if n == 1 {
				panic("boom")
			}
			return nil
		})
		synctest.Wait()
		if got := prober.Status(); got.OK || got.Failure != "panic in check: boom" {
			t.Errorf("%+v", got)
		}
		time.Sleep(15 * sec)
		cancel()
		wantStarts(t, *starts, 0, 10*sec)
		if got := prober.Status(); !got.OK {
			t.Errorf("%+v", got)
		}
	})
}

// TestProberEnd: Run ends at once, also during a probe, whose outcome then does not count; and before the first.
func TestProberEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := DefaultParams()
		p.FailureThreshold, p.Timeout = 1, 9*sec
		prober, _, cancel := startProber(t, p, func(ctx context.Context, n int) error {
			if n == 1 {
				return nil
			}
			<-ctx.Done()
			return ctx.Err()
		})
		time.Sleep(12 * sec)
		began := time.Now()
		cancel()
		if took := time.Since(began); took != 0 {
			t.Errorf("Run ended after %v", took)
		}
		if got := prober.Status(); !got.OK {
			t.Errorf("%+v", got)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		p := DefaultParams()
		p.InitialDelay = sec
		_, starts, cancel := startProber(t, p, func(context.Context, int) error { return nil })
		synctest.Wait()
		cancel()
		time.Sleep(sec)
		wantStarts(t, *starts)
	})
}

// TestProberReal: from a server that is not there yet to one that is.
func TestProberReal(t *testing.T) {
	port := freePort(t)
	c, err := Parse("tcp://127.0.0.1:" + port)
	if err != nil {
		t.Fatal(err)
	}
	p := DefaultParams()
	p.Period = 10 * time.Millisecond
	prober := NewProber("ready-1", c, p)
	go prober.Run(t.Context())
	for deadline := time.Now().Add(10 * sec); prober.Status().Failure != "connection refused"; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal(prober.Status())
		}
		if prober.Status().Failure == "connection refused (2 times in a row)" {
			break
		}
	}
	startReal(t, "redis-server", "--port", port, "--bind", "127.0.0.1", "--save", "", "--dir", t.TempDir())
	for deadline := time.Now().Add(10 * sec); !prober.Status().OK; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal(prober.Status())
		}
	}
}
