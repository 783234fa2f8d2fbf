package signals

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// Event is one signal as it arrived.
type Event struct {
	Signal Signal
	Sender Sender
	// queued is set if the signal came by sigqueue(3). Then info holds all that
	// came with it, to be forwarded unchanged.
	queued bool
	info   unix.Siginfo
}

// Sender says who sent a signal, after siginfo_t of sigaction(2).
type Sender struct {
	// Known is set if the Source can see senders. Otherwise the other fields have
	// no meaning.
	Known bool
	// PID is 0 for a sender outside of the container, which this PID namespace
	// cannot see.
	PID, UID int
	// Name is the name of the process, if the caller has looked it up while the
	// process was there.
	Name string
	// Kernel is set if no process has sent the signal, as for Ctrl-C on a terminal.
	Kernel bool
}

// String returns a phrase that answers "who?": "pid 12 (uid 0)", "sh (pid 12,
// uid 0)", "outside the container", "the kernel", "an unknown sender".
func (s Sender) String() string {
	switch {
	case !s.Known:
		return "an unknown sender"
	case s.Kernel:
		return "the kernel"
	case s.PID == 0:
		return "outside the container"
	case s.Name != "":
		return fmt.Sprintf("%s (pid %d, uid %d)", s.Name, s.PID, s.UID)
	}
	return fmt.Sprintf("pid %d (uid %d)", s.PID, s.UID)
}

// Source returns the signals that usher receives, to one goroutine that is
// locked to the main thread.
type Source interface {
	// Wait returns the next signal. SIGCHLD means "look around": for ended
	// children, and for the posts of goroutines that have called Wake. Wait returns
	// false when the timeout has passed, and waits without limit if the timeout is
	// negative.
	Wait(timeout time.Duration) (Event, bool)
	// Wake makes the present Wait, or else the next one, return SIGCHLD. Any
	// goroutine may call it.
	Wake()
	// Inherited returns the state that has to be restored for a child.
	Inherited() Inherited
}

// Inherited is the part of usher's inherited state that usher has changed for
// itself.
type Inherited struct {
	// Mask is the signal mask.
	Mask Set
	// Ignored holds the ignored signals that a child would not inherit as ignored.
	Ignored Set
	// NoFile is RLIMIT_NOFILE before the Go runtime raised it
	// (golang.org/issue/46279); nil if it is not known.
	NoFile *unix.Rlimit
}

// Send sends sig to pid, as kill(2): to the group -pid if pid is negative. A
// signal that came with a value keeps it, and its sender, if it is sent to one
// process under its own number.
func (e Event) Send(pid int, sig Signal) error {
	if e.queued && pid > 0 && sig == e.Signal {
		err := resend(pid, sig, &e.info)
		if err != unix.EAGAIN {
			return err
		}
		// The app's queue is full (RLIMIT_SIGPENDING). The signal without its value is
		// better than no signal.
	}
	return unix.Kill(pid, sig)
}
