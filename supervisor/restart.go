package supervisor

import (
	"fmt"
	"time"
)

// RestartPolicy says after which ends the app is started again.
type RestartPolicy uint8

const (
	RestartNo        RestartPolicy = iota // none
	RestartOnFailure                      // those with an exit code, after --exit-code, that is not 0
	RestartAlways
)

// ParseRestartPolicy reads no, on-failure or always.
func ParseRestartPolicy(s string) (RestartPolicy, error) {
	switch s {
	case "no":
		return RestartNo, nil
	case "on-failure":
		return RestartOnFailure, nil
	case "always":
		return RestartAlways, nil
	}
	return 0, fmt.Errorf("restart policy %q: want no, on-failure or always", s)
}

// Kubernetes' back-off (kubelet's MaxContainerBackOff and its halves): the first restart comes at once, the next after firstDelay, and so on,
// doubled up to maxDelay; an app that has run for calmTime begins anew.
const (
	firstDelay = 10 * time.Second
	maxDelay   = 5 * time.Minute
	calmTime   = 10 * time.Minute
)

// again is whether the app, which is gone, is to be started again. It counts anew for one that has run long enough.
func (s *stop) again() bool {
	t := &s.timing
	if s.final || !s.began.IsZero() && !s.retry || t.restart == RestartNo || t.restart == RestartOnFailure && !s.failed {
		return false
	}
	if s.over.Sub(s.started) >= calmTime {
		s.restarts = 0
	}
	return t.restartMax == 0 || s.restarts < t.restartMax
}

// backOff is how long after its end the app is started again.
func (s *stop) backOff() time.Duration {
	if s.restarts == 0 {
		return 0
	}
	return min(firstDelay<<min(s.restarts-1, 10), maxDelay)
}
