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
	// queued is whether it came with sigqueue(3); info is then the whole of it, to be passed on as it is.
	queued bool
	info   unix.Siginfo
}

// Sender says who sent a signal, as sigaction(2) has it in siginfo_t.
type Sender struct {
	// Known is whether the Source can see senders; the rest means nothing otherwise.
	Known bool
	// PID is 0 for a sender that this PID namespace can't see: outside of the container.
	PID, UID int
	// Name is the process's, where somebody has looked it up while it was there.
	Name string
	// Kernel: no process sent it, as with Ctrl-C on a terminal.
	Kernel bool
}

// String is a phrase for "who": "pid 12 (uid 0)", "sh (pid 12, uid 0)", "outside the container", "the kernel"; "an unknown sender".
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

// Source hands out the signals usher is sent, from one goroutine that is locked to the main thread.
type Source interface {
	// Wait returns the next signal. SIGCHLD means "look around": children, and what others have posted before they called
	// Wake. It returns false once the timeout has passed; a negative timeout never does.
	Wait(timeout time.Duration) (Event, bool)
	// Wake makes the Wait under way, or the next one, return SIGCHLD. Any goroutine may call it.
	Wake()
	// Inherited is the state a child has to be given back.
	Inherited() Inherited
}

// Inherited is what usher was started with and had to change for itself.
type Inherited struct {
	// Mask is the signal mask.
	Mask Set
	// Ignored are the ignored signals that a child would not get as ignored on its own.
	Ignored Set
	// NoFile is RLIMIT_NOFILE, which the Go runtime raises for itself (golang.org/issue/46279); nil where it is not known.
	NoFile *unix.Rlimit
}

// Send sends sig to pid (to the group -pid if it is negative; kill(2)). A signal that came with a value and is passed on under
// its own number to one process keeps the value and its sender.
func (e Event) Send(pid int, sig Signal) error {
	if e.queued && pid > 0 && sig == e.Signal {
		err := resend(pid, sig, &e.info)
		if err != unix.EAGAIN {
			return err
		}
		// The app's queue is full (RLIMIT_SIGPENDING): better the signal without its value than none.
	}
	return unix.Kill(pid, sig)
}
