package lifecycle

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"usher/signals"
)

// followed plays a stop of an app that does not end, and says what it is sent,
// and when.
func followed(s Schedule, limit time.Duration) []string {
	t0 := time.Unix(0, 0)
	st := Machine{timing: Timing{Schedule: s, Limit: limit}}
	st.begin(t0)
	st.decided()
	var sent []string
	e := &Event{Kind: StopRequested, At: t0, Signal: &signals.Event{Signal: unix.SIGUSR1}}
	for turns := 0; len(sent) < 9; turns++ {
		if turns > 1000 {
			panic(fmt.Sprintf("%+v within %v: turns and turns", s, limit))
		}
		for _, a := range st.Step(e) {
			name := ""
			switch a.Verb {
			case Forward:
				name = "as received"
			case Send:
				name = signals.Name(a.Deliver)[3:]
			case Kill:
				name = "KILL"
			default:
				continue
			}
			sent = append(sent, fmt.Sprintf("%v %s", e.At.Sub(t0), name))
		}
		if st.now.Deadline.IsZero() {
			return append(sent, st.now.Phase.String())
		}
		e = &Event{Kind: TimeUp, At: st.now.Deadline}
	}
	return sent
}

func TestSchedule(t *testing.T) {
	for _, tt := range []struct {
		schedule string
		limit    time.Duration
		want     string
	}{
		{"", 0, "0s as received, stopping"},
		{"", 30 * time.Second, "0s as received, 30s KILL, killing"},
		{"TERM/20s/QUIT/5s/KILL", 0, "0s TERM, 20s QUIT, 25s KILL, killing"},
		{"TERM/20/QUIT/5/KILL/5", 0, "0s TERM, 20s QUIT, 25s KILL, killing"}, // start-stop-daemon waits after KILL as well
		{"TERM/20s/QUIT/5s/KILL", 22 * time.Second, "0s TERM, 20s QUIT, 22s KILL, killing"},
		{"-QUIT/1m30s/-9", 0, "0s QUIT, 1m30s KILL, killing"},
		{"7", 0, "0s as received, 7s KILL, killing"},
		{"1.5s", 0, "0s as received, 1.5s KILL, killing"},
		{"INT/1/2/TERM/3", 0, "0s INT, 3s TERM, stopping"},
		{"INT/TERM/3", 10 * time.Second, "0s INT, 0s TERM, 10s KILL, killing"},
		{"INT/5/TERM/forever", 0, "0s INT, 5s TERM, stopping"},
		{"INT/5/forever/TERM/2/HUP/1", 0, "0s INT, 5s TERM, 7s HUP, 8s TERM, 10s HUP, 11s TERM, 13s HUP, 14s TERM, 16s HUP"},
		{"INT/5/forever/TERM/2", 8 * time.Second, "0s INT, 5s TERM, 7s TERM, 8s KILL, killing"},
		{"KILL", 0, "0s KILL, killing"},
		{"RTMIN+3/1/KILL", 0, "0s RTMIN+3, 1s KILL, killing"},
	} {
		s, err := ParseSchedule(tt.schedule)
		if tt.schedule == "" {
			s, err = Schedule{}, nil
		}
		if got := strings.Join(followed(s, tt.limit), ", "); err != nil || got != tt.want {
			t.Errorf("%q within %v: %v; %s; want %s", tt.schedule, tt.limit, err, got, tt.want)
		}
	}
	for text, want := range map[string]string{
		"":                                `"" is neither a signal nor a time`,
		"TERM/":                           `"" is neither a signal nor a time`,
		"TERM/soon/KILL":                  `"soon" is neither a signal nor a time`,
		"TERM/-5s/KILL":                   `"-5s" is neither a signal nor a time`,
		"5s/TERM":                         "it has to begin with a signal",
		"forever/TERM":                    "it has to begin with a signal",
		"TERM/KILL/5s/QUIT":               "nothing can come after KILL",
		"TERM/forever/QUIT":               "what forever repeats needs a time",
		"TERM/forever/QUIT/forever":       "forever can be there once",
		"TERM/1000000h/1000000h/1000000h": "that is too long",
	} {
		if s, err := ParseSchedule(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, %v; want an error with %q", text, s, err, want)
		}
	}
}

// Whatever can be read comes to an end or to a rest, and never turns without
// time going by.
func FuzzSchedule(f *testing.F) {
	for _, seed := range []string{"TERM/20s/QUIT/5s/KILL", "5", "INT/5/forever/TERM/2", "TERM/forever", "1/2/3", "-9", "TERM/KILL/1"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := ParseSchedule(text)
		if err != nil {
			return
		}
		if s.takes() < 0 || len(s.Items) == 0 || slices.ContainsFunc(s.Items, func(i Item) bool { return i.Wait < 0 }) {
			t.Fatalf("%q: %+v takes %v", text, s, s.takes())
		}
		if s.takes() > 1000*time.Hour {
			return // time.Time's own limits
		}
		if sent := followed(s, 1001*time.Hour); !strings.HasSuffix(sent[len(sent)-1], "killing") && s.Repeat == 0 && len(s.Items) < 8 {
			t.Fatalf("%q: %q", text, sent)
		}
	})
}
