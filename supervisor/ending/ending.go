// Package ending makes the record for the last word: how the app has ended, and
// how the stop went.
package ending

import (
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"usher/internal/file"
	"usher/signals"
	"usher/signals/entry"
	"usher/supervisor/exitcode"
	"usher/supervisor/lastword"
	"usher/supervisor/lifecycle"
	"usher/supervisor/process"
)

// Report collects what the last word needs, besides what the lifecycle knows.
type Report struct {
	Life      *lifecycle.Machine
	Timing    *lifecycle.Timing
	ExitCodes map[int]int // exit codes of the app that become other codes

	Run      Run      // the present run of the app
	HadApp   bool     // an app was started, at least once
	Restarts int      // how often the app was started again
	Quiet    string   // the state of traffic that ends the hold early
	Drained  string   // how the wait for the last requests went
	Steps    []string // signals that the app got after the stop's first one, and when
	Notes    []string // further things that went wrong
}

// Run is one run of the app.
type Run struct {
	Fatal  *lastword.Record // what prevented the app's start, or ended it; nil if the app ended by itself
	Status unix.WaitStatus
	Phase  lifecycle.Phase // the phase in which the app ended
	RSS    uint64          // largest resident memory, in bytes
	CPU    time.Duration

	// Forwarded is the last signal that usher has forwarded to the app, ForwardedAs
	// the signal that the app got for it, and ForwardedAt when.
	Forwarded   signals.Event
	ForwardedAs signals.Signal
	ForwardedAt time.Time

	StillThere []lastword.Process // processes that ran when SIGKILL was sent
	Killed     []lastword.Process // processes that were killed after the app's end
}

// ExitCode returns usher's exit code: the app's, or the code that ExitCodes
// maps it to, or that of the failure that prevented the app's start. If the app
// was stopped because it was unhealthy, the code is never 0: what restarts
// failed containers has to restart this one.
func (r *Report) ExitCode() int {
	if r.Run.Fatal != nil {
		return r.Run.Fatal.ExitCode
	}
	code := r.Mapped(exitcode.Of(r.Run.Status))
	if code == 0 && r.Life.Progress().Cause != "" {
		return exitcode.Unhealthy
	}
	return code
}

// Mapped returns the code to which ExitCodes maps an exit code of the app.
func (r *Report) Mapped(code int) int {
	if to, ok := r.ExitCodes[code]; ok {
		return to
	}
	return code
}

// Record returns what is known now. While the app lives, the record will be
// true if usher is killed next.
func (r *Report) Record() *lastword.Record {
	st := r.Life.Progress()
	now := st.ExitedAt
	if st.Phase.Alive() {
		now = time.Now()
	}
	w := &lastword.Record{
		Ahead:      st.Phase.Alive(),
		Uptime:     now.Sub(st.StartedAt),
		Stop:       r.stop(&st, now),
		RSS:        r.Run.RSS,
		CPU:        r.Run.CPU,
		StillThere: r.Run.StillThere,
		Killed:     r.Run.Killed,
		Restarts:   r.Restarts,
		Notes:      r.Notes,
	}
	fatal := r.Run.Fatal
	switch {
	case w.Ahead && w.Stop != nil:
		w.Reason, w.Phase = lastword.StopTimeout, st.Phase.String()
	case w.Ahead:
		w.Reason, w.Phase = lastword.Signaled, st.Phase.String()
	case fatal != nil:
		if w.Phase = r.Run.Phase.String(); !r.HadApp {
			w.Phase, w.Uptime, w.Stop = lifecycle.Preparing.String(), 0, nil
		}
		w.Reason, w.Message, w.Hint, w.ExitCode = fatal.Reason, fatal.Message, fatal.Hint, fatal.ExitCode
	default:
		w.ExitCode, w.Phase = r.ExitCode(), r.Run.Phase.String()
		r.appEnd(w, &st)
	}
	return w
}

// appEnd adds to w how the app has ended.
func (r *Report) appEnd(w *lastword.Record, st *lifecycle.Progress) {
	status, sig := r.Run.Status, r.Run.Status.Signal()
	switch {
	case status.Signaled():
		w.Reason, w.Signal, w.Core = lastword.Signaled, signals.Name(sig), status.CoreDump()
		if sig == unix.SIGKILL && !st.KilledAt.IsZero() {
			w.Reason = lastword.StopTimeout
		}
		if e := &r.Run.Forwarded; r.Run.ForwardedAs == sig && (w.Stop == nil || e.Signal != st.Signal) {
			w.Sender = e.Sender.String()
		}
		if w.Reason == lastword.Signaled && w.ExitCode == 0 { // by --exit-code
			w.Reason = lastword.Completed
		}
	default:
		code := status.ExitStatus()
		if code != w.ExitCode {
			w.AppCode = code
		}
		w.Reason = lastword.Error
		if code == 0 || w.ExitCode == 0 {
			w.Reason = lastword.Completed
		}
	}
	if st.Cause != "" {
		w.Reason = lastword.Unhealthy
	}
}

// stop describes the stop until now. It returns nil if there is none.
func (r *Report) stop(st *lifecycle.Progress, now time.Time) *lastword.Stop {
	if st.RequestedAt.IsZero() {
		return nil
	}
	w := &lastword.Stop{
		Signal:   signals.Name(st.Signal),
		Sender:   r.StopSender(),
		Hold:     r.Timing.Hold,
		HoldOver: st.HoldReason,
		Held:     now.Sub(st.RequestedAt),
		Over:     !st.Phase.Alive(),
		Steps:    r.Steps,
	}
	if st.EndedQuiet {
		w.HoldOver = r.Quiet
	}
	if st.HoldOver {
		w.Held, w.Between, w.Drained = st.HeldFor, st.SignalledAt.IsZero(), r.Drained
	}
	at := st.Phase
	if w.Over {
		at = r.Run.Phase
	}
	switch at {
	case lifecycle.Draining:
		w.Doing = "requests being finished"
	case lifecycle.Leaving:
		w.Doing = "pre-stop running"
	}
	if !st.SignalledAt.IsZero() {
		w.Took = max(0, now.Sub(st.SignalledAt)) // the app may have ended before, and be reaped later
		w.Sent = r.FirstSignal()
	}
	if !st.KilledAt.IsZero() {
		w.Grace = st.KilledAt.Sub(st.RequestedAt)
	}
	return w
}

// FirstSignal returns the name of the first signal that the app gets in a stop.
func (r *Report) FirstSignal() string {
	sig := r.Timing.Schedule.First()
	if sig == 0 {
		sig = r.Life.Progress().Deliver
	}
	return signals.Name(sig)
}

// StopSender returns the sender of the stop request.
func (r *Report) StopSender() string {
	st := r.Life.Progress()
	if st.Cause != "" {
		return "usher (" + st.Cause + ")"
	}
	return st.Sender.String()
}

// Named returns a sender with its name, if that process still exists: kill(1)
// has ended by then, a shell has not.
func Named(from signals.Sender) signals.Sender {
	if from.Known && from.PID > 0 && process.Own(unix.Getpid()) {
		p, _ := process.Read(from.PID)
		from.Name = p.Name
	}
	return from
}

// Processes returns, for each process, what it waits for, if the kernel shows
// that (proc_pid_wchan(5)).
func Processes(procs []process.Proc) []lastword.Process {
	entry.Raise()
	defer entry.Restore()
	list := make([]lastword.Process, len(procs))
	for i, p := range procs {
		list[i] = lastword.Process{PID: p.PID, Name: p.Name, State: string(p.State)}
		var b [64]byte
		// "0" means that it waits for nothing, or that the kernel hides it from usher.
		if n := file.ReadAt("/proc/"+strconv.Itoa(p.PID)+"/wchan", b[:], 0); n > 1 {
			list[i].WaitsIn = string(b[:n])
		}
	}
	return list
}
