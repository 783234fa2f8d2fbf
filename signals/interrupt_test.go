package signals

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A system call that would wait for a minute is interrupted, and so is the next
// one.
func TestInterrupt(t *testing.T) {
	begin := time.Now()
	Interrupt(time.Millisecond, func() {
		for range 3 {
			wait := unix.Timespec{Sec: 60}
			if err := unix.Nanosleep(&wait, nil); err != unix.EINTR {
				t.Errorf("not interrupted: %v", err)
			}
		}
	})
	if d := time.Since(begin); d > 20*time.Second {
		t.Errorf("took %v", d)
	}
}
