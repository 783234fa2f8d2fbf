package lifecycle

import (
	"fmt"
	"time"
)

// RestartPolicy says after which ends the app is started again, as a pod's
// restartPolicy does.
type RestartPolicy uint8

const (
	RestartNo        RestartPolicy = iota // never
	RestartOnFailure                      // after an end whose exit code, mapped by --exit-code, is not 0
	RestartAlways                         // after every end
)

// ParseRestartPolicy parses no, on-failure or always.
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

// Kubernetes' back-off (kubelet's MaxContainerBackOff): the first restart comes
// at once, the second after firstDelay, and each further one after twice the
// delay, up to maxDelay. After an app that has run for calmTime, the count
// starts again.
const (
	firstDelay = 10 * time.Second
	maxDelay   = 5 * time.Minute
	calmTime   = 10 * time.Minute
)

// restarts reports whether the app, which has ended, will be started again.
// After an app that has run long enough, restarts are counted anew.
func (m *Machine) restarts() bool {
	t := &m.timing
	if m.final || m.Stopped() && !m.retry || t.Restart == RestartNo || t.Restart == RestartOnFailure && !m.failed {
		return false
	}
	if m.now.ExitedAt.Sub(m.now.StartedAt) >= calmTime {
		m.now.Restarts = 0
	}
	return t.RestartMax == 0 || m.now.Restarts < t.RestartMax
}

// backOff returns how long after its end the app is started again.
func (m *Machine) backOff() time.Duration {
	if m.now.Restarts == 0 {
		return 0
	}
	return min(firstDelay<<min(m.now.Restarts-1, 10), maxDelay)
}
