package lifecycle

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"usher/signals"
)

// Schedule is the list of signals that an app gets to make it end, as in
// `start-stop-daemon --retry` (start-stop-daemon(8)). The zero value sends the
// signal that began the stop, and waits without a limit of its own.
type Schedule struct {
	Items  []Item
	Repeat int // index of the item to which "forever" returns; 0 means no "forever"
}

// Item is a signal, and how long to wait for the app's end after it. NoLimit
// means until the budget ends.
type Item struct {
	Signal signals.Signal // 0 means the signal that began the stop, rewritten
	Wait   time.Duration
}

// First returns the signal that the schedule sends first. 0 means the one that
// began the stop.
func (s *Schedule) First() signals.Signal {
	item, _ := s.at(0)
	return item.Signal
}

// at returns the n-th item to carry out, and false if there is none.
func (s *Schedule) at(n int) (Item, bool) {
	switch {
	case len(s.Items) == 0:
		return Item{Wait: NoLimit}, n == 0
	case n < len(s.Items):
		return s.Items[n], true
	case s.Repeat == 0:
		return Item{}, false
	}
	return s.Items[s.Repeat+(n-s.Repeat)%(len(s.Items)-s.Repeat)], true
}

// ParseSchedule parses signals and times, separated by slashes:
// TERM/20s/QUIT/5s/KILL. A time is a duration, or a number of seconds.
// "forever" repeats what follows it; at the end it only waits. A single time
// means the signal that began the stop, that time, and KILL.
func ParseSchedule(text string) (Schedule, error) {
	if d, err := parseWait(text); err == nil {
		return Schedule{Items: []Item{{Wait: d}, {Signal: unix.SIGKILL}}}, nil
	}
	var s Schedule
	words := strings.Split(text, "/")
	for i, word := range words {
		if why := s.add(word, i == len(words)-1); why != "" {
			return Schedule{}, fmt.Errorf("stop schedule %q: %s", text, why)
		}
	}
	if s.Repeat > 0 && !s.rests() {
		return Schedule{}, fmt.Errorf("stop schedule %q: what forever repeats needs a time", text)
	}
	return s, nil
}

// add parses one word, and returns what is wrong with it, or "".
func (s *Schedule) add(word string, last bool) (why string) {
	n := len(s.Items)
	d, err := parseWait(word)
	sig, noSignal := signals.Parse(strings.TrimPrefix(word, "-"))
	switch {
	case n == 0 && (err == nil || word == "forever"):
		return "it has to begin with a signal"
	case err == nil:
		if s.Items[n-1].Wait += d; s.Items[n-1].Wait < 0 {
			return "that is too long"
		}
	case n > 0 && s.Items[n-1].Signal == unix.SIGKILL: // a time may: start-stop-daemon waits after KILL as well
		return "nothing can come after KILL"
	case word == "forever" && s.Repeat > 0:
		return "forever can be there once"
	case word == "forever" && last:
		s.Items[n-1].Wait = NoLimit
	case word == "forever":
		s.Repeat = n
	case noSignal != nil:
		return strconv.Quote(word) + " is neither a signal nor a time"
	default:
		s.Items = append(s.Items, Item{Signal: sig})
	}
	return ""
}

// rests reports whether the repeated items take time, or end with KILL.
func (s *Schedule) rests() bool {
	for _, item := range s.Items[s.Repeat:] {
		if item.Wait > 0 || item.Signal == unix.SIGKILL {
			return true
		}
	}
	return false
}

// parseWait parses a duration, or seconds without a unit.
func parseWait(s string) (time.Duration, error) {
	d, err := time.ParseDuration(s)
	if err != nil {
		var n uint64
		n, err = strconv.ParseUint(s, 10, 31)
		d = time.Duration(n) * time.Second
	}
	if err == nil && d < 0 {
		err = errors.New("negative")
	}
	return d, err
}

// takes returns how long the schedule lasts until SIGKILL, or until its last
// signal and the wait for it. Repeated items count once.
func (s *Schedule) takes() time.Duration {
	var sum time.Duration
	for _, item := range s.Items {
		if item.Signal == unix.SIGKILL || item.Wait == NoLimit {
			break
		}
		if sum += item.Wait; sum < 0 {
			return NoLimit
		}
	}
	return sum
}
