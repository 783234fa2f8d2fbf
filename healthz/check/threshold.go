package check

import "fmt"

// Status is what a prober knows at a moment.
type Status struct {
	OK      bool
	Failure string // why not; "" where OK
}

// notYet is the failure of a check that has not been run.
const notYet = "not yet checked"

// threshold turns results into a state as kubelet's prober does (pkg/kubelet/prober/worker.go): a result changes the state
// once it has come often enough in a row. The state begins as failure, as readiness does.
type threshold struct {
	success, failure int // how often is enough

	status Status
	last   bool   // the last result
	run    int    // how often it has come in a row
	reason string // of the last failure
}

func newThreshold(p Params) threshold {
	return threshold{success: p.SuccessThreshold, failure: p.FailureThreshold, status: Status{Failure: notYet}}
}

// observe takes a result, nil for success.
func (t *threshold) observe(err error) Status {
	ok := err == nil
	if ok != t.last {
		t.last, t.run = ok, 0
	}
	t.run++
	if !ok {
		t.reason = err.Error()
	}
	if ok && t.run >= t.success || !ok && t.run >= t.failure {
		t.status.OK = ok
	}
	t.status.Failure = t.explain()
	return t.status
}

// explain returns the failure to show for the present state.
func (t *threshold) explain() string {
	switch {
	case t.status.OK:
		return ""
	case t.last && t.reason == "":
		return fmt.Sprintf("%d of %d successes", t.run, t.success)
	case t.last:
		return fmt.Sprintf("%d of %d successes after: %s", t.run, t.success, t.reason)
	case t.run > 1:
		return fmt.Sprintf("%s (%d times in a row)", t.reason, t.run)
	}
	return t.reason
}
