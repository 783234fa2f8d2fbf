//go:build !(usher_entry && (amd64 || arm64))

package signals

import (
	"os"
	"os/signal"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// SourceName is the name of this source in the output of --version.
const SourceName = "os/signal"

// notifySource uses os/signal, for a plain `go build` and for architectures
// without an entry point. Its limits: it never forwards SIGURG, SIGPIPE,
// SIGXFSZ and SIGPROF. It loses values and senders, and a real-time signal that
// arrives again before it was read. Signal 34 kills usher, and so does a signal
// in the first half millisecond, before Open.
type notifySource struct {
	inherited Inherited
	ch        chan os.Signal
	wake      chan struct{}
	timer     *time.Timer
}

// Open returns the Source of this process. Call it once, at the beginning of
// main.
func Open() (Source, error) {
	if err := OpenPoller(); err != nil { // Wait uses a timer
		return nil, err
	}
	s := &notifySource{
		// os/signal drops a signal that finds no room. It holds each signal once
		// itself, so it cannot fill this channel.
		ch:    make(chan os.Signal, 4*numSignals),
		wake:  make(chan struct{}, 1),
		timer: time.NewTimer(time.Hour),
	}
	s.timer.Stop()
	// Read them before Notify, which replaces SIG_IGN by a handler.
	for sig := Signal(1); sig <= RTMax; sig++ {
		if ignored(sig) {
			s.inherited.Ignored.Add(sig)
		}
	}
	SetMask(nil, &s.inherited.Mask)
	s.inherited.NoFile = originalNoFile()
	signal.Notify(s.ch)
	return s, nil
}

// Environ returns the environment that the process was started with.
func Environ() []string { return rawEnviron() }

// Default lets signals act on usher as on any program, in the modes in which
// usher is no init (--probe, --plan).
func Default() { signal.Reset() }

func (s *notifySource) Wait(timeout time.Duration) (Event, bool) {
	var expired <-chan time.Time
	if timeout >= 0 {
		s.timer.Reset(timeout)
		defer s.timer.Stop()
		expired = s.timer.C
	}
	for {
		select {
		case sig := <-s.ch:
			switch sig {
			case unix.SIGURG: // the runtime's own (golang.org/issue/37942)
			case unix.SIGPIPE, unix.SIGXFSZ: // perhaps from a write of usher's own
			default:
				return Event{Signal: sig.(Signal)}, true
			}
		case <-s.wake:
			return Event{Signal: unix.SIGCHLD}, true
		case <-expired:
			return Event{}, false
		}
	}
}

func (s *notifySource) Wake() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

func (s *notifySource) Inherited() Inherited { return s.inherited }

func resend(pid int, sig Signal, _ *unix.Siginfo) error { return unix.Kill(pid, sig) }

// Unhandle resets every signal that has a handler. The handlers are the Go
// runtime's, and none may run in a forked child, which can call Unhandle.
//
//go:nosplit
//go:norace
func Unhandle() {
	for sig := uintptr(1); sig <= uintptr(RTMax); sig++ {
		var a action
		syscall.RawSyscall6(unix.SYS_RT_SIGACTION, sig, 0, uintptr(unsafe.Pointer(&a)), unsafe.Sizeof(Set{}), 0, 0)
		if a[actionHandler] != sigDfl && a[actionHandler] != sigIgn {
			a = action{}
			a[actionHandler] = sigDfl
			syscall.RawSyscall6(unix.SYS_RT_SIGACTION, sig, uintptr(unsafe.Pointer(&a)), 0, unsafe.Sizeof(Set{}), 0, 0)
		}
	}
}
