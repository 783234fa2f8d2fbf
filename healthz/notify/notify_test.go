package notify

import (
	"bytes"
	"testing"
	"time"
)

func TestParse(t *testing.T) {
	m := Parse([]byte("READY=1\nSTATUS=Ready to accept connections: a=b\nWATCHDOG_USEC=2500000\nEXTEND_TIMEOUT_USEC=30000000\nMAINPID=7\nX_Y=z\nnonsense\n"))
	if !m.Ready || *m.Status != "Ready to accept connections: a=b" || *m.Watchdog != 2500*time.Millisecond || m.Extend != 30*time.Second || !m.MainPID ||
		m.Reloading || m.Stopping || m.Alive || m.Trigger {
		t.Errorf("%+v", m)
	}
	for in, ok := range map[string]func(Message) bool{
		"WATCHDOG=1":       func(m Message) bool { return m.Alive && !m.Trigger },
		"WATCHDOG=trigger": func(m Message) bool { return !m.Alive && m.Trigger },
		"STOPPING=1":       func(m Message) bool { return m.Stopping },
		"RELOADING=1":      func(m Message) bool { return m.Reloading },
		"READY=0":          func(m Message) bool { return !m.Ready },
		"WATCHDOG_USEC=x":  func(m Message) bool { return m.Watchdog == nil },
		"WATCHDOG_USEC=0":  func(m Message) bool { return *m.Watchdog == 0 },
		"STATUS=":          func(m Message) bool { return *m.Status == "" },
		"EXTEND_TIMEOUT_USEC=18446744073709551615": func(m Message) bool { return m.Extend > 200*365*24*time.Hour },
	} {
		if !ok(Parse([]byte(in))) {
			t.Errorf("%q: %+v", in, Parse([]byte(in)))
		}
	}
}

func TestForward(t *testing.T) {
	for in, want := range map[string]string{
		"STATUS=up\nREADY=1":                        "READY=1\nSTATUS=up\n",
		"READY=1\nMAINPID=12\nBARRIER=1\nFDSTORE=1": "READY=1\n",
		"MAINPID=1":                                  "",
		"RELOADING=1\nMONOTONIC_USEC=5\n":            "RELOADING=1\nMONOTONIC_USEC=5\n",
		"\n\nnonsense\n":                             "",
		"X=1\nEXTEND_TIMEOUT_USEC=3\nNOTIFYACCESS=x": "X=1\nEXTEND_TIMEOUT_USEC=3\n",
	} {
		if got := string(Forward([]byte(in))); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

// FuzzDatagram: no datagram makes the parser panic, and a forwarded one has the
// same meaning.
func FuzzDatagram(f *testing.F) {
	f.Add([]byte("STATUS=x\nREADY=1\nWATCHDOG=1\nWATCHDOG_USEC=12\nMAINPID=1"))
	f.Add([]byte("READY=1\nREADY=0\n=\n\x00"))
	f.Fuzz(func(t *testing.T, in []byte) {
		m, up := Parse(in), Forward(in)
		again := Parse(up)
		if again.Ready != m.Ready || again.Stopping != m.Stopping || again.Alive != m.Alive || again.Extend != m.Extend || again.MainPID {
			t.Errorf("%q became %q", in, up)
		}
		if bytes.Contains(up, []byte("READY=")) && m.Ready && !bytes.HasPrefix(up, []byte("READY=")) {
			t.Errorf("%q became %q", in, up)
		}
		State{}.Observe(m, time.Now()).Overdue(time.Now(), time.Now())
	})
}

func TestState(t *testing.T) {
	at := func(s int) time.Time { return time.Unix(1000, 0).Add(time.Duration(s) * time.Second) }
	began := at(0)
	s := State{Watchdog: 10 * time.Second}
	say := func(second int, datagram string) { s = s.Observe(Parse([]byte(datagram)), at(second)) }
	want := func(second int, unready, overdue string) {
		t.Helper()
		if got := s.Unready(); got != unready {
			t.Errorf("at %d: unready %q, want %q", second, got, unready)
		}
		if got := s.Overdue(began, at(second)); got != overdue {
			t.Errorf("at %d: overdue %q, want %q", second, got, overdue)
		}
	}
	want(9, "no READY=1 yet", "")
	want(10, "no READY=1 yet", "no WATCHDOG=1 for 10s")
	say(10, "STATUS=loading")
	want(11, `no READY=1 yet; the app says "loading"`, "no WATCHDOG=1 for 11s")
	say(12, "READY=1\nSTATUS=up")
	want(21, "", "")
	want(22, "", "no WATCHDOG=1 for 10s")
	say(22, "WATCHDOG=1")
	want(31, "", "")
	say(31, "READY=1") // the end of a reload, and no sign of life
	want(33, "", "no WATCHDOG=1 for 11s")
	say(34, "WATCHDOG_USEC=2000000")
	want(35, "", "")
	want(36, "", "no WATCHDOG=1 for 2s")
	say(37, "WATCHDOG=trigger")
	want(37, "", "the app said WATCHDOG=trigger")
	say(38, "WATCHDOG=1")
	want(38, "", "")
	say(38, "WATCHDOG_USEC=0")
	want(1000, "", "")
	if !s.Extended().IsZero() {
		t.Error("extended")
	}
	say(40, "EXTEND_TIMEOUT_USEC=5000000")
	if !s.Extended().Equal(at(45)) {
		t.Errorf("extended until %v", s.Extended())
	}
	say(50, "STOPPING=1")
	want(50, "the app said STOPPING=1", "")
}
