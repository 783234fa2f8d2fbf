package contexts

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// maker is this package, or the standard one.
type maker struct {
	name        string
	withCancel  func(context.Context) (context.Context, context.CancelFunc)
	withTimeout func(context.Context, time.Duration) (context.Context, context.CancelFunc)
	afterFunc   func(context.Context, func()) func() bool
}

var makers = []maker{
	{"contexts", WithCancel, WithTimeout, AfterFunc},
	{"context", context.WithCancel, context.WithTimeout, context.AfterFunc},
}

// eachPair runs f with the parent from one package and the child from another,
// and with both from the same: all have to behave in the same way.
func eachPair(t *testing.T, f func(t *testing.T, parent, child maker)) {
	for _, parent := range makers {
		for _, child := range makers {
			t.Run(parent.name+"/"+child.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { f(t, parent, child) })
			})
		}
	}
}

func wantErr(t *testing.T, ctx context.Context, want error) {
	t.Helper()
	synctest.Wait()
	if err := ctx.Err(); err != want {
		t.Errorf("Err is %v, want %v", err, want)
	}
	select {
	case <-ctx.Done():
		if want == nil {
			t.Error("Done is closed")
		}
	default:
		if want != nil {
			t.Error("Done is not closed")
		}
	}
}

func TestCancel(t *testing.T) {
	eachPair(t, func(t *testing.T, parent, child maker) {
		above, cancelAbove := parent.withCancel(context.Background())
		first, cancelFirst := child.withCancel(above)
		second, cancelSecond := child.withTimeout(above, time.Hour)
		defer cancelSecond()
		below, cancelBelow := child.withCancel(first)
		defer cancelBelow()
		if _, limited := first.Deadline(); limited {
			t.Error("a deadline, though there is none")
		}
		cancelFirst()
		cancelFirst() // again is nothing
		wantErr(t, first, context.Canceled)
		wantErr(t, below, context.Canceled)
		wantErr(t, above, nil)
		wantErr(t, second, nil)
		cancelAbove()
		wantErr(t, second, context.Canceled)
		late, cancelLate := child.withTimeout(above, time.Hour)
		defer cancelLate()
		wantErr(t, late, context.Canceled)
	})
}

func TestTimeout(t *testing.T) {
	eachPair(t, func(t *testing.T, parent, child maker) {
		above, cancelAbove := parent.withTimeout(context.Background(), 2*time.Second)
		defer cancelAbove()
		early, cancelEarly := child.withTimeout(above, time.Second)
		defer cancelEarly()
		late, cancelLate := child.withTimeout(above, time.Hour)
		defer cancelLate()
		open, cancelOpen := child.withCancel(above)
		defer cancelOpen()
		for _, c := range []struct {
			ctx  context.Context
			left time.Duration
		}{{above, 2 * time.Second}, {early, time.Second}, {late, 2 * time.Second}, {open, 2 * time.Second}} {
			if at, limited := c.ctx.Deadline(); !limited || time.Until(at) != c.left {
				t.Errorf("the deadline is %v (%v), want one in %v", time.Until(at), limited, c.left)
			}
		}
		wantErr(t, early, nil)
		time.Sleep(time.Second)
		wantErr(t, early, context.DeadlineExceeded)
		wantErr(t, late, nil)
		time.Sleep(time.Second)
		wantErr(t, late, context.DeadlineExceeded)
		wantErr(t, open, context.DeadlineExceeded)
		for _, passed := range []time.Duration{0, -time.Second} {
			ctx, cancel := child.withTimeout(context.Background(), passed)
			if ctx.Err() != context.DeadlineExceeded { // at once, not soon
				t.Errorf("with a timeout of %v, Err is %v", passed, ctx.Err())
			}
			cancel()
		}
	})
}

func TestAfterFunc(t *testing.T) {
	eachPair(t, func(t *testing.T, parent, child maker) {
		ctx, cancel := parent.withCancel(context.Background())
		calls := 0
		stop := child.afterFunc(ctx, func() { calls++ })
		stopped := child.afterFunc(ctx, func() { t.Error("called though it was stopped") })
		if !stopped() || stopped() {
			t.Error("stop has to report whether it has stopped f")
		}
		synctest.Wait()
		if calls != 0 {
			t.Error("called before the end")
		}
		cancel()
		synctest.Wait()
		if calls != 1 || stop() {
			t.Errorf("%d calls, want 1, and nothing left to stop", calls)
		}
		child.afterFunc(ctx, func() { calls++ })
		synctest.Wait()
		if calls != 2 {
			t.Error("not called though the context has ended already")
		}
	})
}

// A context that lives long must not keep the contexts that ended before it.
func TestChildrenLeave(t *testing.T) {
	parent, cancel := WithCancel(context.Background())
	defer cancel()
	for range 3 {
		_, done := WithTimeout(parent, time.Hour)
		done()
		AfterFunc(parent, func() {})()
	}
	if n := len(parent.(*node).children); n != 0 {
		t.Errorf("%d children are left", n)
	}
}

// For the race detector.
func TestConcurrent(t *testing.T) {
	for range 200 {
		parent, cancel := WithCancel(context.Background())
		var all sync.WaitGroup
		for i := range 4 {
			all.Go(func() {
				ctx, cancel := WithTimeout(parent, time.Duration(i)*time.Microsecond)
				defer cancel()
				defer AfterFunc(ctx, func() {})()
				<-ctx.Done()
			})
		}
		all.Go(cancel)
		all.Wait()
	}
}
