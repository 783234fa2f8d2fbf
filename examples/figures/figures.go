// Package figures is what a stop under load was measured to be: examples/demo
// writes it, examples/plan draws it.
package figures

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
)

// Run is the stop of a server that was started in one way, a line of JSON.
// Times are seconds from the stop signal.
type Run struct {
	StartedAs string  `json:"startedAs"`
	Server    string  `json:"server"`
	Hold      float64 `json:"holdSeconds"`    // --term-delay; 0 without
	Unready   float64 `json:"unreadySeconds"` // when the load balancer saw that the app is not ready
	LetGo     float64 `json:"letGoSeconds"`   // when it had its last answer
	Gone      float64 `json:"goneSeconds"`    // when the server's port was closed

	// Requests by when they ended, as many as in each tenth of a second. The
	// stop signal was sent when the first Before tenths were over.
	Before int   `json:"tenthsBefore"`
	Served []int `json:"servedByTenths"`
	Failed []int `json:"failedByTenths"`
}

// Tenth is how long requests are counted together, in seconds.
const Tenth = 0.1

// Count counts a request that ended at that many seconds from the stop signal.
func (r *Run) Count(at float64, failed bool) {
	i := int(math.Floor(at/Tenth)) + r.Before
	for ; i < 0; i++ {
		r.Before++
		r.Served, r.Failed = slices.Insert(r.Served, 0, 0), slices.Insert(r.Failed, 0, 0)
	}
	for len(r.Served) <= i {
		r.Served, r.Failed = append(r.Served, 0), append(r.Failed, 0)
	}
	if failed {
		r.Failed[i]++
	} else {
		r.Served[i]++
	}
}

// After is how many requests ended after the stop signal.
func (r *Run) After() (served, failed int) {
	for i := r.Before; i < len(r.Served); i++ {
		served, failed = served+r.Served[i], failed+r.Failed[i]
	}
	return served, failed
}

// Round is how exact the times are: a millisecond.
func Round(seconds float64) float64 { return math.Round(seconds*1000) / 1000 }

// Read reads the runs that a demo has written, and says everything that is
// wrong with them.
func Read(from io.Reader) (runs []Run, err error) {
	decoder := json.NewDecoder(from)
	decoder.DisallowUnknownFields()
	for {
		var r Run
		switch err := decoder.Decode(&r); {
		case err == io.EOF && len(runs) == 0:
			return nil, errors.New("no runs: want what `go run ./examples/demo -figures FILE` writes")
		case err == io.EOF:
			return runs, nil
		case err != nil:
			return nil, fmt.Errorf("run %d: %w", len(runs)+1, err)
		}
		if err := r.check(); err != nil {
			return nil, fmt.Errorf("run %d: %w", len(runs)+1, err)
		}
		runs = append(runs, r)
	}
}

func (r *Run) check() error {
	var errs []error
	if r.StartedAs == "" {
		errs = append(errs, errors.New("startedAs is missing"))
	}
	if len(r.Served) != len(r.Failed) || r.Before < 0 || r.Before > len(r.Served) {
		errs = append(errs, fmt.Errorf("%d tenths before, %d of served and %d of failed requests do not go together",
			r.Before, len(r.Served), len(r.Failed)))
	}
	for _, at := range []float64{r.Hold, r.Unready, r.LetGo, r.Gone, float64(len(r.Served)) * Tenth} {
		if at < 0 || at > 600 {
			errs = append(errs, fmt.Errorf("a time of %v seconds can't be drawn: want 0 to 600", at))
		}
	}
	if slices.ContainsFunc(append(slices.Clone(r.Served), r.Failed...), func(n int) bool { return n < 0 || n > 1e6 }) {
		errs = append(errs, errors.New("a number of requests can't be drawn: want 0 to 1000000"))
	}
	return errors.Join(errs...)
}
