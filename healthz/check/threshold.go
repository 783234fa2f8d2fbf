package check

import (
	"fmt"
	"time"
)

// Status is the state of a check at a moment. A startup check that is not
// decided yet is neither OK nor Failed.
type Status struct {
	OK      bool
	Failed  bool   // the failure threshold is reached; OK and Failed are never both true
	Failure string // why it is not OK: the last reason, how often and for how long; "" if OK
}

// notYet is the failure of a check that has not run yet.
const notYet = "not yet checked"

// threshold turns results into a state as kubelet's prober does
// (pkg/kubelet/prober/worker.go): a result changes the state when it has come
// often enough in a row. The state begins as success for liveness, as failure
// for readiness, and as neither for startup.
type threshold struct {
	success, failure int // results in a row that change the state

	status Status
	last   bool      // the last result
	run    int       // number of such results in a row
	since  time.Time // when the first of them came
	reason string    // of the last failure
}

func newThreshold(role Role, p Params) threshold {
	t := threshold{success: p.SuccessThreshold, failure: p.FailureThreshold}
	if t.status.OK = role == Live; !t.status.OK {
		t.status.Failure = notYet
	}
	return t
}

// observe takes a result, nil for success.
func (t *threshold) observe(err error, now time.Time) Status {
	ok := err == nil
	if ok != t.last || t.run == 0 {
		t.last, t.run, t.since = ok, 0, now
	}
	t.run++
	if !ok {
		t.reason = err.Error()
	}
	if ok && t.run >= t.success || !ok && t.run >= t.failure {
		t.status.OK, t.status.Failed = ok, !ok
	}
	t.status.Failure = t.explain(now)
	return t.status
}

// explain returns the failure to show for the present state.
func (t *threshold) explain(now time.Time) string {
	switch {
	case t.status.OK:
		return ""
	case t.last && t.reason == "":
		return fmt.Sprintf("%d of %d successes", t.run, t.success)
	case t.last:
		return fmt.Sprintf("%d of %d successes after: %s", t.run, t.success, t.reason)
	case t.run > 1:
		return fmt.Sprintf("%s (%d times in a row, for %v)", t.reason, t.run, round(now.Sub(t.since)))
	}
	return t.reason
}

// round rounds a duration for people: to seconds, or to milliseconds below one
// second.
func round(d time.Duration) time.Duration {
	if d >= time.Second {
		return d.Round(time.Second)
	}
	return d.Round(time.Millisecond)
}
