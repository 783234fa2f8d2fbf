package health

import (
	"strings"
	"testing"
	"time"

	"usher/supervisor/event"
)

// A day of flapping makes a line every few seconds, and the last one is true.
func TestNews(t *testing.T) {
	t0 := time.Unix(0, 0)
	n := news{good: event.Ready, bad: event.NotReady, again: event.ReadyAgain, late: event.NotReadyYet, since: t0}
	var lines []string
	var due time.Time
	see := func(after time.Duration, why string) {
		at := t0.Add(after)
		for !due.IsZero() && due.Before(at) { // the timer comes first
			var e *event.Event
			if e, due = n.see("ready-1", map[bool]string{true: "", false: "x"}[n.last], due); e != nil {
				lines = append(lines, e.Text())
			}
		}
		var e *event.Event
		if e, due = n.see("ready-1", why, at); e != nil {
			lines = append(lines, e.Text())
		}
	}
	see(1200*time.Millisecond, "")
	see(2*time.Second, "x")
	see(3*time.Second, "")
	see(4*time.Second, "x")
	see(8*time.Second, "x")
	see(20*time.Second, "")
	want := "ready after 1.2s|not ready: x (3 changes)|ready again after 13.8s"
	if got := strings.Join(lines, "|"); got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
	lines = nil
	for after := 21 * time.Second; after < 24*time.Hour; after += time.Second {
		why := ""
		if after/time.Second%2 == 0 {
			why = "x"
		}
		see(after, why)
	}
	if most := int(24 * time.Hour / newsPause); len(lines) > most {
		t.Errorf("%d lines in a day, at most %d", len(lines), most)
	}
	see(25*time.Hour, "the end")
	if last := lines[len(lines)-1]; !strings.HasPrefix(last, "not ready: ") {
		t.Errorf("the last line is %q", last)
	}
}

func TestOverdue(t *testing.T) {
	t0 := time.Unix(0, 0)
	n := news{good: event.Ready, bad: event.NotReady, again: event.ReadyAgain, late: event.NotReadyYet, since: t0}
	late := n.overdue("ready-1", "ready-1: connection refused", t0.Add(30*time.Second))
	if late == nil || late.Text() != "not ready yet after 30s: ready-1: connection refused" {
		t.Error(late)
	}
	n.see("", "", t0.Add(time.Second))
	if late = n.overdue("ready-1", "x", t0.Add(30*time.Second)); late != nil {
		t.Error(late)
	}
}
