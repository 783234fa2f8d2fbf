package supervisor

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"usher/signals"
)

// Schedule is what an app is sent to make it end, as `start-stop-daemon --retry` has it (start-stop-daemon(8)). The zero value sends
// the signal that began the stop, and waits for as long as there is.
type Schedule struct {
	Items  []Item
	Repeat int // where "forever" goes back to after the last item; 0 is nowhere, and the end of the schedule is waited at
}

// Item is a signal, and how long to wait for the app's end then; noLimit is until the budget ends.
type Item struct {
	Signal signals.Signal // 0 is the signal that began the stop, rewritten
	Wait   time.Duration
}

// at is the n-th item to carry out; false if there is none.
func (s *Schedule) at(n int) (Item, bool) {
	switch {
	case len(s.Items) == 0:
		return Item{Wait: noLimit}, n == 0
	case n < len(s.Items):
		return s.Items[n], true
	case s.Repeat == 0:
		return Item{}, false
	}
	return s.Items[s.Repeat+(n-s.Repeat)%(len(s.Items)-s.Repeat)], true
}

// ParseSchedule reads signals and times, separated by slashes: TERM/20s/QUIT/5s/KILL. A time is a duration, or seconds. "forever"
// repeats what follows it; at the end it only waits. A single time is the signal that began the stop, that time, and KILL.
func ParseSchedule(text string) (Schedule, error) {
	var s Schedule
	fail := func(why string) (Schedule, error) { return Schedule{}, fmt.Errorf("stop schedule %q: %s", text, why) }
	words := strings.Split(text, "/")
	if len(words) == 1 {
		if d, err := parseWait(text); err == nil {
			return Schedule{Items: []Item{{Wait: d}, {Signal: unix.SIGKILL}}}, nil
		}
	}
	repeats := false
	for i, word := range words {
		n := len(s.Items)
		if d, err := parseWait(word); err == nil {
			if n == 0 {
				return fail("it has to begin with a signal")
			}
			if s.Items[n-1].Wait += d; s.Items[n-1].Wait < 0 {
				return fail("that is too long")
			}
			continue
		}
		if n > 0 && s.Items[n-1].Signal == unix.SIGKILL { // time may: start-stop-daemon waits there as well
			return fail("nothing can come after KILL")
		}
		if word == "forever" {
			switch {
			case n == 0:
				return fail("it has to begin with a signal")
			case repeats:
				return fail("forever can be there once")
			case i == len(words)-1:
				s.Items[n-1].Wait = noLimit
			default:
				repeats, s.Repeat = true, n
			}
			continue
		}
		sig, err := signals.Parse(strings.TrimPrefix(word, "-"))
		if err != nil {
			return fail(fmt.Sprintf("%q is neither a signal nor a time", word))
		}
		s.Items = append(s.Items, Item{Signal: sig})
	}
	if repeats {
		ends := false // or takes time
		for _, item := range s.Items[s.Repeat:] {
			ends = ends || item.Wait > 0 || item.Signal == unix.SIGKILL
		}
		if !ends {
			return fail("what forever repeats needs a time")
		}
	}
	return s, nil
}

// parseWait reads a duration, or seconds without a unit.
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

// takes is how long the schedule has until SIGKILL, or until it has no more to send; repeated items count once.
func (s *Schedule) takes() time.Duration {
	var sum time.Duration
	for _, item := range s.Items {
		if item.Signal == unix.SIGKILL || item.Wait == noLimit {
			break
		}
		if sum += item.Wait; sum < 0 {
			return noLimit
		}
	}
	return sum
}
