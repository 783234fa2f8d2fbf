// Package notify receives sd_notify(3): what the app reports of its own accord.
package notify

import (
	"bytes"
	"math"
	"strconv"
	"time"
)

// Message holds what usher reads from one datagram. Forward passes the rest on.
type Message struct {
	Ready, Reloading, Stopping bool
	Alive                      bool           // WATCHDOG=1
	Trigger                    bool           // WATCHDOG=trigger: acts as if the watchdog had run out
	Watchdog                   *time.Duration // WATCHDOG_USEC: a new interval; 0 turns the watchdog off
	Extend                     time.Duration  // EXTEND_TIMEOUT_USEC: more time, from now on; 0 if not asked for
	Status                     *string
	MainPID                    bool // MAINPID, with any value
}

// Parse reads a datagram: KEY=VALUE lines. It ignores malformed lines and
// values.
func Parse(datagram []byte) (m Message) {
	var line []byte
	for len(datagram) > 0 {
		line, datagram, _ = bytes.Cut(datagram, []byte{'\n'})
		key, value, ok := bytes.Cut(line, []byte{'='})
		if !ok {
			continue
		}
		switch string(key) {
		case "READY":
			m.Ready = string(value) == "1"
		case "RELOADING":
			m.Reloading = string(value) == "1"
		case "STOPPING":
			m.Stopping = string(value) == "1"
		case "WATCHDOG":
			m.Alive, m.Trigger = string(value) == "1", string(value) == "trigger"
		case "WATCHDOG_USEC":
			if d, ok := microseconds(value); ok {
				m.Watchdog = &d
			}
		case "EXTEND_TIMEOUT_USEC":
			m.Extend, _ = microseconds(value)
		case "STATUS":
			status := string(value)
			m.Status = &status
		case "MAINPID":
			m.MainPID = true
		}
	}
	return m
}

// microseconds reads a number of microseconds. A number that is too large for a
// Duration becomes the largest one.
func microseconds(b []byte) (time.Duration, bool) {
	n, err := strconv.ParseUint(string(b), 10, 64)
	if err != nil {
		return 0, false
	}
	return time.Duration(min(n, math.MaxInt64/1000)) * time.Microsecond, true
}

// Forward returns the datagram for usher's own supervisor. READY=1 comes first,
// because runc forwards only datagrams that begin with it. The result lacks
// what concerns the app and usher alone: the main process, and descriptors. It
// is empty if nothing is left.
func Forward(datagram []byte) []byte {
	var first, rest, line []byte
	for len(datagram) > 0 {
		line, datagram, _ = bytes.Cut(datagram, []byte{'\n'})
		key, _, ok := bytes.Cut(line, []byte{'='})
		if !ok {
			continue
		}
		switch string(key) {
		case "READY":
			first = append(append(first, line...), '\n')
		case "MAINPID", "MAINPIDFDID", "BARRIER", "FDSTORE", "FDSTOREREMOVE", "FDNAME", "FDPOLL", "NOTIFYACCESS":
		default:
			rest = append(append(rest, line...), '\n')
		}
	}
	return append(first, rest...)
}
