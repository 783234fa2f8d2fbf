//go:build !race

package healthz

const raceEnabled = false
