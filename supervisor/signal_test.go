package supervisor

import (
	"os/exec"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"usher/signals"
	"usher/supervisor/lifecycle"
)

// silent is a log at its usual level.
type silent struct{ printLogger }

func (silent) Debugf(string, ...any) {}
func (silent) Verbose() bool         { return false }

// A signal that is passed on leaves no garbage: a flood of them would else make
// the heap grow, and the collector run.
func TestSignalAllocatesNothing(t *testing.T) {
	cmd := exec.Command("sleep", "1000")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer cmd.Process.Kill()
	s := &Supervisor{log: silent{}, app: app{pid: cmd.Process.Pid}, life: lifecycle.New(lifecycle.Timing{})}
	s.life.Begin(time.Now())
	s.config.StopSignals = []signals.Signal{unix.SIGTERM}
	e := signals.Event{Signal: unix.SIGWINCH, Sender: signals.Sender{Known: true, PID: 7}}
	now := time.Now()
	if n := testing.AllocsPerRun(1000, func() { s.signalled(e, now) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if s.view.Counters.Forwarded[unix.SIGWINCH].Load() < 1000 {
		t.Error("it was not passed on")
	}
}
