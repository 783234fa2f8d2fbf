package check

import (
	"fmt"
	"time"

	"github.com/hashicorp/go-multierror"
)

// Params are Kubernetes' probe parameters.
type Params struct {
	InitialDelay     time.Duration // before the first probe; default 0s
	Period           time.Duration // from the start of a probe to the start of the next one; default 10s
	Timeout          time.Duration // for one probe; default 1s. It may be longer than the period
	SuccessThreshold int           // successes in a row that turn not OK into OK; default 1
	FailureThreshold int           // failures in a row that turn OK into not OK; default 3
}

// DefaultParams returns Kubernetes' defaults.
func DefaultParams() Params {
	return Params{Period: 10 * time.Second, Timeout: time.Second, SuccessThreshold: 1, FailureThreshold: 3}
}

// minInterval is the lower limit of Period and Timeout: a typing error must not
// turn checks into a load. Kubernetes counts in whole seconds and needs no such
// limit.
const minInterval = 10 * time.Millisecond

// Validate reports all mistakes at once. Each one begins with the name of the
// flag: "--live-period 0s: must be at least 10ms".
func (p Params) Validate(role Role) error {
	name := "--" + role.String()
	var errs *multierror.Error
	if p.InitialDelay < 0 {
		errs = multierror.Append(errs, fmt.Errorf("%s-initial-delay %v: must not be negative", name, p.InitialDelay))
	}
	if p.Period < minInterval {
		errs = multierror.Append(errs, fmt.Errorf("%s-period %v: must be at least %v", name, p.Period, minInterval))
	}
	if p.Timeout < minInterval {
		errs = multierror.Append(errs, fmt.Errorf("%s-timeout %v: must be at least %v", name, p.Timeout, minInterval))
	}
	if p.SuccessThreshold < 1 {
		errs = multierror.Append(errs,
			fmt.Errorf("%s-success-threshold %d: must be at least 1", name, p.SuccessThreshold))
	}
	if p.SuccessThreshold > 1 && role != Ready { // as in Kubernetes
		errs = multierror.Append(errs, fmt.Errorf("%s-success-threshold %d: must be 1", name, p.SuccessThreshold))
	}
	if p.FailureThreshold < 1 {
		errs = multierror.Append(errs,
			fmt.Errorf("%s-failure-threshold %d: must be at least 1", name, p.FailureThreshold))
	}
	return errs.ErrorOrNil()
}
