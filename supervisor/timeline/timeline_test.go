package timeline

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"usher/supervisor/event"
)

var began = time.Date(2026, 1, 2, 3, 4, 5, 6e6, time.UTC)

func after(d time.Duration, e event.Event) *event.Event {
	e.At = began.Add(d)
	return &e
}

func example() *Timeline {
	l := New(began)
	for _, e := range []*event.Event{
		after(16*time.Millisecond, event.Event{Kind: event.HookSucceeded, Hook: "wait-for", Took: 16 * time.Millisecond}),
		after(20*time.Millisecond, event.Event{Kind: event.AppStarted, Command: "nginx", PID: 7}),
		after(30*time.Millisecond, event.Event{Kind: event.Notice, Reason: "nothing for the timeline"}),
		after(1200*time.Millisecond, event.Event{Kind: event.Ready, Took: 1180 * time.Millisecond}),
		after(2900*time.Millisecond, event.Event{Kind: event.StopRequested, Signal: "SIGTERM", Sender: "outside\nthe container"}),
	} {
		l.Add(e)
	}
	return l
}

func TestTimeline(t *testing.T) {
	l := example()
	want := "    0.016s wait-for has succeeded after 16ms\n" +
		"    0.020s started \"nginx\", pid 7\n" +
		"    1.200s ready after 1.2s\n" +
		"    2.900s SIGTERM from outside the container\n"
	if got := string(l.AppendText(nil)); got != want {
		t.Errorf("got\n%s", got)
	}
	if got, want := l.Line(), "wait-for 16ms · started 20ms · ready 1.2s · SIGTERM 2.9s"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	want = `{"began":"2026-01-02T03:04:05.006Z","events":[{"at":0.016,"event":"hook-succeeded","hook":"wait-for","seconds":0.016},` +
		`{"at":0.02,"event":"app-started","command":"nginx","pid":7},{"at":1.2,"event":"ready","seconds":1.18},` +
		`{"at":2.9,"event":"stop-requested","signal":"SIGTERM","sender":"outside\nthe container"}]}` + "\n"
	if got := string(l.AppendJSON(nil)); got != want {
		t.Errorf("got %s", got)
	}
	var none *Timeline
	none.Add(after(0, event.Event{Kind: event.Ready}))
	if none.Elements() != nil {
		t.Error("a Timeline that keeps nothing has kept something")
	}
}

// A day of changes takes no more memory than the bounds allow. The start and
// what came last stay.
func TestBounds(t *testing.T) {
	l := example()
	long := strings.Repeat("é", 1<<20)
	for i := range 100_000 {
		e := event.Event{Kind: event.NotReady, Reason: long}
		if i%2 == 1 {
			e = event.Event{Kind: event.ReadyAgain, Took: time.Second}
		}
		l.Add(after(time.Duration(i+3)*time.Second, e))
	}
	l.Add(after(48*time.Hour, event.Event{Kind: event.AppEnded, ExitCode: 3}))
	text := string(l.AppendText(nil))
	if n := strings.Count(text, "\n"); n != most+1 || len(text) > most*(longest+100) || !utf8.ValidString(text) {
		t.Errorf("%d lines, %d bytes", n, len(text))
	}
	if !strings.Contains(text, "wait-for has succeeded") || !strings.HasSuffix(text, "172800.000s the app ended with exit code 3\n") {
		t.Errorf("the start and the end should stay: %s", text)
	}
	if !strings.Contains(text, "… 99909 events are no longer known\n") || strings.Count(l.Line(), " · ") != most {
		t.Errorf("got %s", text)
	}
	var got struct {
		Events  []struct{ At float64 }
		Dropped int
	}
	if err := json.Unmarshal(l.AppendJSON(nil), &got); err != nil || len(got.Events) != most || got.Dropped != 99909 {
		t.Errorf("%v: %d events, %d dropped", err, len(got.Events), got.Dropped)
	}
	for i := 1; i < len(got.Events); i++ {
		if got.Events[i].At < got.Events[i-1].At {
			t.Errorf("event %d is before the one before it", i)
		}
	}
}
