//go:build race

package healthz

const raceEnabled = true
