// Package notify is the receiving end of sd_notify(3): what an app says about itself, without being asked.
package notify

import (
	"bytes"
	"math"
	"strconv"
	"time"
)

// Message is what usher takes from one datagram. What it does not know it passes on, see Forward.
type Message struct {
	Ready, Reloading, Stopping bool
	Alive                      bool           // WATCHDOG=1
	Trigger                    bool           // WATCHDOG=trigger: as if the watchdog had run out
	Watchdog                   *time.Duration // WATCHDOG_USEC: another interval; 0 is none
	Extend                     time.Duration  // EXTEND_TIMEOUT_USEC: more time from now on; 0 is not asked for
	Status                     *string
	MainPID                    bool // MAINPID, whatever it is
}

// Parse reads a datagram: KEY=VALUE lines. What can't be read is not there.
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

// microseconds reads a number of them; more than a Duration holds are as many as it does.
func microseconds(b []byte) (time.Duration, bool) {
	n, err := strconv.ParseUint(string(b), 10, 64)
	if err != nil {
		return 0, false
	}
	return time.Duration(min(n, math.MaxInt64/1000)) * time.Microsecond, true
}

// Forward is the datagram for whoever supervises usher: READY=1 comes first, since runc passes on only what begins with it, and what is
// between the app and usher is left out: which process is the main one, and descriptors. It is empty where nothing is left.
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
