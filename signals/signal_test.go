package signals

import (
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestParse(t *testing.T) {
	for s, want := range map[string]Signal{
		"TERM": unix.SIGTERM, "SIGTERM": unix.SIGTERM, "sigterm": unix.SIGTERM, "15": unix.SIGTERM, "Term": unix.SIGTERM,
		"1": unix.SIGHUP, "CLD": unix.SIGCHLD, "IOT": unix.SIGABRT, "POLL": unix.SIGIO,
		"RTMIN": RTMin, "SIGRTMIN+3": RTMin + 3, "rtmin+0": RTMin, "RTMAX": RTMax, "RTMAX-1": RTMax - 1, "RTMAX-30": RTMax - 30, "64": 64, "33": 33,
	} {
		if got, err := Parse(s); err != nil || got != want {
			t.Errorf("%q: %d, %v, want %d", s, got, err, want)
		}
	}
	for _, s := range []string{"", "0", "-1", "999", "SIG", "NOPE", "RTMIN+", "RTMIN+99", "RTMIN-1", "RTMAX+1", "RTMAX-99", "RTMIN+-1", "TERM ", "RTMIN+300"} {
		if got, err := Parse(s); err == nil {
			t.Errorf("%q: %d, want an error", s, got)
		} else if !strings.Contains(err.Error(), "\""+s+"\"") {
			t.Errorf("%q is not named in %v", s, err)
		}
	}
}

// Parse reads Name's result as the same signal.
func TestNames(t *testing.T) {
	for sig := Signal(1); sig <= RTMax; sig++ {
		if got, err := Parse(Name(sig)); err != nil || got != sig {
			t.Errorf("%d: %q is %d, %v", sig, Name(sig), got, err)
		}
	}
	for sig, want := range map[Signal]string{15: "SIGTERM", RTMin: "SIGRTMIN", RTMin + 3: "SIGRTMIN+3", RTMax: "SIGRTMAX", 33: "33"} {
		if got := Name(sig); got != want {
			t.Errorf("%d: %q, want %q", sig, got, want)
		}
	}
}

func TestRewrites(t *testing.T) {
	r := Rewrites{}
	for _, s := range []string{"TERM:QUIT", "hup:0", "10:RTMIN+3"} {
		if err := r.Parse(s); err != nil {
			t.Errorf("%q: %v", s, err)
		}
	}
	for from, to := range map[Signal]Signal{unix.SIGTERM: unix.SIGQUIT, unix.SIGHUP: 0, unix.SIGUSR1: RTMin + 3, unix.SIGINT: unix.SIGINT} {
		if got := r.Apply(from); got != to {
			t.Errorf("%v becomes %v, want %v", from, got, to)
		}
	}
	for _, s := range []string{"", "TERM", "TERM:", ":TERM", "0:TERM", "TERM:INT", "KILL:TERM", "STOP:TERM", "CHLD:TERM", "TERM:QUIT:INT", "NOPE:TERM", "INT:NOPE"} {
		if err := r.Parse(s); err == nil {
			t.Errorf("%q: want an error", s)
		}
	}
	if len(r) != 3 {
		t.Errorf("mistakes left something behind: %v", r)
	}
}

func TestSet(t *testing.T) {
	for sig := Signal(1); sig <= RTMax; sig++ {
		var s Set
		s.Add(sig)
		for other := Signal(1); other <= RTMax; other++ {
			if s.Has(other) != (other == sig) {
				t.Errorf("a set of %d: Has(%d) is %v", sig, other, s.Has(other))
			}
		}
		if all := All(); !all.Has(sig) {
			t.Errorf("%d is not in the full set", sig)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"TERM", "SIGRTMIN+3", "RTMAX-1", "15", "0", "-1", "sigſtop"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		sig, err := Parse(s)
		if err != nil {
			return
		}
		if sig < 1 || sig > RTMax {
			t.Fatalf("%q is %d", s, sig)
		}
		if again, err := Parse(Name(sig)); err != nil || again != sig {
			t.Fatalf("%q is %d is %q is %d, %v", s, sig, Name(sig), again, err)
		}
	})
}

func FuzzRewrites(f *testing.F) {
	for _, s := range []string{"TERM:QUIT", "HUP:0", ":", "1:2:3"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r := Rewrites{}
		if err := r.Parse(s); (err == nil) != (len(r) == 1) {
			t.Fatalf("%q: %v, %v", s, r, err)
		}
	})
}
