package check

import (
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-multierror"
)

func TestThreshold(t *testing.T) {
	// results: + success, - failure; states: after each, o OK, x not.
	for _, tt := range []struct {
		success, failure         int
		results, states, failing string
	}{
		{1, 3, "+", "o", ""},
		{1, 3, "-", "x", "refused"},
		{1, 3, "--", "xx", "refused (2 times in a row, for 10s)"},
		{1, 3, "-+", "xo", ""},
		{1, 3, "+--", "ooo", ""},
		{1, 3, "+---", "ooox", "refused (3 times in a row, for 20s)"},
		{1, 3, "+--+--", "oooooo", ""},
		{1, 3, "+----+", "oooxxo", ""},
		{1, 1, "+-+-", "oxox", "refused"},
		{3, 1, "++", "xx", "2 of 3 successes"},
		{3, 1, "+++", "xxo", ""},
		{3, 1, "++-+", "xxxx", "1 of 3 successes after: refused"},
		{3, 1, "++-+++", "xxxxxo", ""},
		{2, 2, "++-+-+--", "xooooo" + "ox", "refused (2 times in a row, for 10s)"},
		{2, 2, "++--+", "xooxx", "1 of 2 successes after: refused"},
	} {
		th := newThreshold(Ready, Params{SuccessThreshold: tt.success, FailureThreshold: tt.failure})
		if th.status.OK || th.status.Failure != notYet {
			t.Errorf("begins as %+v", th.status)
		}
		var states string
		now := time.Unix(0, 0)
		for _, r := range tt.results {
			var err error
			if r == '-' {
				err = errors.New("refused")
			}
			now = now.Add(10 * time.Second)
			if th.observe(err, now).OK {
				states += "o"
			} else {
				states += "x"
			}
		}
		if states != tt.states || th.status.Failure != tt.failing {
			t.Errorf("%d/%d %s: got %s %q, want %s %q", tt.success, tt.failure, tt.results, states, th.status.Failure, tt.states, tt.failing)
		}
	}
}

// TestThresholdAsKubelet compares with a second version of worker.go's
// counting, written from its description.
func TestThresholdAsKubelet(t *testing.T) {
	for success := 1; success <= 3; success++ {
		for failure := 1; failure <= 3; failure++ {
			th := newThreshold(Ready, Params{SuccessThreshold: success, FailureThreshold: failure})
			rng := rand.New(rand.NewPCG(uint64(success), uint64(failure)))
			ok, history := false, []bool{}
			for range 2000 {
				result := rng.IntN(2) == 0
				history = append(history, result)
				run := 0
				for i := len(history) - 1; i >= 0 && history[i] == result; i-- {
					run++
				}
				if result && run >= success || !result && run >= failure {
					ok = result
				}
				var err error
				if !result {
					err = errors.New("x")
				}
				if got := th.observe(err, time.Time{}); got.OK != ok || (got.Failure == "") != ok {
					t.Fatalf("%d/%d after %v: %+v", success, failure, history, got)
				}
			}
		}
	}
}

func TestParams(t *testing.T) {
	if err := DefaultParams().Validate(Live); err != nil {
		t.Error(err)
	}
	if want := (Params{0, 10 * time.Second, time.Second, 1, 3}); DefaultParams() != want {
		t.Errorf("defaults %+v", DefaultParams())
	}
	err := Params{InitialDelay: -1, Timeout: -time.Second, FailureThreshold: -1}.Validate(Ready)
	var all *multierror.Error
	if !errors.As(err, &all) {
		t.Fatalf("got %v", err)
	}
	want := []string{"--ready-initial-delay -1ns: must not be negative", "--ready-period 0s: must be at least 10ms", "--ready-timeout -1s: must be at least 10ms",
		"--ready-success-threshold 0: must be at least 1", "--ready-failure-threshold -1: must be at least 1"}
	if len(all.Errors) != len(want) {
		t.Fatalf("got %v", err)
	}
	for i, err := range all.Errors {
		if err.Error() != want[i] {
			t.Errorf("got %q, want %q", err, want[i])
		}
	}
}

// As in Kubernetes, only readiness may ask for more than one success.
func TestSuccessThreshold(t *testing.T) {
	p := DefaultParams()
	p.SuccessThreshold = 2
	for role, want := range map[Role]string{Startup: "--startup-success-threshold 2: must be 1", Live: "--live-success-threshold 2: must be 1", Ready: ""} {
		if got := text(p.Validate(role)); got != want && !(want != "" && strings.Contains(got, want)) {
			t.Errorf("%v: %q, want %q", role, got, want)
		}
	}
}
