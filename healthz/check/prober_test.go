package check

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

const sec = time.Second

// startProber runs a prober in a synctest bubble and returns it. starts
// receives the times at which ask began.
func startProber(t *testing.T, role Role, p Params, ask func(ctx context.Context, n int) error) (prober *Prober, starts *[]time.Duration, cancel func()) {
	began := time.Now()
	starts = new([]time.Duration)
	running := false
	prober = NewProber(role, 1, func(ctx context.Context) error {
		if running {
			t.Error("two probes at a time")
		}
		running = true
		defer func() { running = false }()
		*starts = append(*starts, time.Since(began))
		return ask(ctx, len(*starts))
	}, p)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		prober.Run(ctx, began, nil)
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
		starts []time.Duration // but for the jitter
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
		{"longer than the jittered period", 0, func(int) time.Duration { return 10 * sec }, []time.Duration{0, 20 * sec}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := DefaultParams()
				p.InitialDelay, p.Timeout = tt.delay, 20*sec
				_, starts, cancel := startProber(t, Ready, p, func(_ context.Context, n int) error {
					time.Sleep(tt.takes(n))
					return nil
				})
				j := jitter(time.Now().Add(tt.delay+tt.takes(1)), p.Period)
				if j <= 0 || j >= p.Period/2 {
					t.Errorf("jitter %v", j)
				}
				time.Sleep(39*sec - j)
				cancel()
				for i := range tt.starts[1:] {
					tt.starts[i+1] -= j
				}
				wantStarts(t, *starts, tt.starts...)
			})
		})
	}
}

func TestProberStates(t *testing.T) {
	const twice = "connection refused (2 times in a row, for "
	ok, failed := Status{OK: true}, Status{Failed: true, Failure: "connection refused (3 times in a row, for 20s)"}
	for _, tt := range []struct {
		role Role
		want []Status // after: nothing, failure, failure, success, 3 failures, success
	}{
		{Ready, []Status{{Failure: notYet}, {Failure: "connection refused"}, {Failure: twice}, ok, ok, ok, failed, ok}},
		{Live, []Status{ok, ok, ok, ok, ok, ok, failed, ok}},
		{Startup, []Status{{Failure: notYet}, {Failure: "connection refused"}, {Failure: twice}, ok, ok, ok, ok, ok}},
	} {
		t.Run(tt.role.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := DefaultParams()
				p.InitialDelay = sec
				prober, starts, cancel := startProber(t, tt.role, p, func(_ context.Context, n int) error {
					if n == 3 || n == 7 {
						return nil
					}
					return errors.New("connection refused")
				})
				began := time.Now()
				for i, want := range tt.want {
					// The second probe comes between 6 and 11, the third between 16 and 21, and so on.
					time.Sleep(time.Until(began.Add([]time.Duration{sec / 2, 5 * sec, 12 * sec, 22 * sec, 32 * sec, 42 * sec, 52 * sec, 62 * sec}[i])))
					if got := prober.Status(); got != want && !(want.Failure == twice && strings.HasPrefix(got.Failure, twice)) {
						t.Errorf("after %d probes: %+v, want %+v", i, got, want)
					}
				}
				cancel()
				if want := map[Role]int{Startup: 3, Live: 7, Ready: 7}[tt.role]; len(*starts) != want {
					t.Errorf("%d probes, want %d", len(*starts), want)
				}
				if prober.Name() != tt.role.String()+"-1" {
					t.Error(prober.Name())
				}
			})
		})
	}
}

// TestStartupFails: a startup check has failed after the threshold, and goes
// on.
func TestStartupFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var seen []Status
		prober := NewProber(Startup, 1, func(context.Context) error {
			if len(seen) > 0 {
				return nil
			}
			return errors.New("no")
		}, DefaultParams())
		began := time.Now()
		prober.Run(t.Context(), began, func(s Status) { seen = append(seen, s) })
		if took := time.Since(began); took != 30*sec || len(seen) != 2 || !seen[0].Failed || !seen[1].OK {
			t.Errorf("after %v: %+v", took, seen)
		}
	})
}

// TestProberLate: if the startup has taken longer than the initial delay, the
// first probe comes at once.
func TestProberLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := DefaultParams()
		p.InitialDelay = 5 * sec
		began := time.Now()
		time.Sleep(20 * sec)
		ctx, cancel := context.WithCancel(t.Context())
		NewProber(Live, 1, func(context.Context) error { cancel(); return nil }, p).Run(ctx, began, nil)
		if took := time.Since(began); took != 20*sec {
			t.Errorf("probed after %v", took)
		}
	})
}

// TestAgain: Again probes at once, and keeps the rhythm. A pending result
// counts as none.
func TestAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := DefaultParams()
		p.InitialDelay, p.FailureThreshold = 5*sec, 1
		prober, starts, cancel := startProber(t, Startup, p, func(_ context.Context, n int) error {
			switch n {
			case 1:
				return ErrPending
			case 4:
				return nil
			}
			return errors.New("no")
		})
		time.Sleep(3 * sec)
		prober.Again()
		synctest.Wait()
		if got := prober.Status(); got.Failed || got.Failure != notYet {
			t.Errorf("%+v", got)
		}
		time.Sleep(4 * sec)
		if got := prober.Status(); !got.Failed {
			t.Errorf("%+v", got)
		}
		time.Sleep(30 * sec)
		cancel()
		wantStarts(t, *starts, 3*sec, 5*sec, 15*sec, 25*sec)
	})
}

// TestProberTimeout: the timeout ends a check that hangs, which is a failure.
// The next probe comes in its turn.
func TestProberTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := DefaultParams()
		prober, starts, cancel := startProber(t, Ready, p, func(ctx context.Context, n int) error {
			if deadline, ok := ctx.Deadline(); !ok || time.Until(deadline) != sec {
				t.Errorf("deadline %v, %v", deadline, ok)
			}
			<-ctx.Done()
			return ctx.Err()
		})
		j := jitter(time.Now().Add(sec), p.Period)
		time.Sleep(25*sec - j)
		cancel()
		wantStarts(t, *starts, 0, 10*sec-j, 20*sec-j)
		if got := prober.Status(); !got.Failed || !strings.HasPrefix(got.Failure, "context deadline exceeded (3 times in a row, for ") {
			t.Errorf("%+v", got)
		}
	})
}

// TestProberPanic: a panic is a failure, and probing goes on.
func TestProberPanic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		prober, starts, cancel := startProber(t, Ready, DefaultParams(), func(_ context.Context, n int) error {
			if n == 1 {
				panic("boom")
			}
			return nil
		})
		synctest.Wait()
		if got := prober.Status(); got.OK || got.Failure != "panic in check: boom" {
			t.Errorf("%+v", got)
		}
		j := jitter(time.Now(), 10*sec)
		time.Sleep(15*sec - j)
		cancel()
		wantStarts(t, *starts, 0, 10*sec-j)
		if got := prober.Status(); !got.OK {
			t.Errorf("%+v", got)
		}
	})
}

// TestProberEnd: Run ends at once before the first probe, and also during a
// probe, whose result then does not count.
func TestProberEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := DefaultParams()
		p.FailureThreshold, p.Timeout = 1, 9*sec
		prober, _, cancel := startProber(t, Ready, p, func(ctx context.Context, n int) error {
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
		_, starts, cancel := startProber(t, Ready, p, func(context.Context, int) error { return nil })
		synctest.Wait()
		cancel()
		time.Sleep(sec)
		wantStarts(t, *starts)
	})
}

// TestProberReal: a server appears after the first probes.
func TestProberReal(t *testing.T) {
	port := freePort(t)
	c, err := Parse("tcp://127.0.0.1:" + port)
	if err != nil {
		t.Fatal(err)
	}
	p := DefaultParams()
	p.Period = 10 * time.Millisecond
	prober := NewProber(Ready, 1, c.Run, p)
	go prober.Run(t.Context(), time.Now(), nil)
	for deadline := time.Now().Add(10 * sec); !strings.HasPrefix(prober.Status().Failure, "connection refused"); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal(prober.Status())
		}
	}
	startReal(t, "redis-server", "--port", port, "--bind", "127.0.0.1", "--save", "", "--dir", t.TempDir())
	for deadline := time.Now().Add(10 * sec); !prober.Status().OK; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal(prober.Status())
		}
	}
}
