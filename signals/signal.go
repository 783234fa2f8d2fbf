// Package signals has the names of signal(7), rewrites, and a Source that sees
// every signal that usher receives.
package signals

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"usher/internal/spelling"
)

// Signal is a signal number, which may be a real-time signal's.
type Signal = syscall.Signal

// The real-time range, as the shells, kill(1) and glibc count it. The kernel's
// range begins at 32, but the C library keeps two signals for itself
// (signal(7)). RTMax is the last signal.
const (
	RTMin = Signal(34)
	RTMax = Signal(lastSignal)
)

// aliases are names of signal(7) for signals that x/sys knows by another name.
var aliases = map[string]Signal{"SIGCLD": unix.SIGCHLD, "SIGIOT": unix.SIGABRT, "SIGPOLL": unix.SIGIO}

// Parse reads a signal: a name with or without SIG, in either case, a number
// from 1 to RTMax, RTMIN+n or RTMAX-n.
func Parse(s string) (Signal, error) {
	if n, err := strconv.Atoi(s); err == nil {
		if n < 1 || n > int(RTMax) {
			return 0, fmt.Errorf("signal %q: not between 1 and %d", s, int(RTMax))
		}
		return Signal(n), nil
	}
	name := strings.ToUpper(s)
	if !strings.HasPrefix(name, "SIG") {
		name = "SIG" + name
	}
	if sig := unix.SignalNum(name); sig != 0 {
		return sig, nil
	}
	if sig, ok := aliases[name]; ok {
		return sig, nil
	}
	if sig, ok := parseRealTime(name); ok {
		return sig, nil
	}
	return 0, fmt.Errorf("signal %q: no such signal%s", s, spelling.DidYouMean("SIG", name[len("SIG"):], names()))
}

// names are the signals' names, without SIG.
func names() (names []string) {
	for sig := range RTMin {
		if name := unix.SignalName(sig); name != "" {
			names = append(names, name[len("SIG"):])
		}
	}
	return names
}

func parseRealTime(name string) (Signal, bool) {
	base, offset, sign := RTMin, "", 1
	switch {
	case name == "SIGRTMIN":
		return RTMin, true
	case name == "SIGRTMAX":
		return RTMax, true
	case strings.HasPrefix(name, "SIGRTMIN+"):
		offset = name[len("SIGRTMIN+"):]
	case strings.HasPrefix(name, "SIGRTMAX-"):
		base, offset, sign = RTMax, name[len("SIGRTMAX-"):], -1
	default:
		return 0, false
	}
	n, err := strconv.ParseUint(offset, 10, 8)
	sig := base + Signal(sign*int(n))
	return sig, err == nil && sig >= RTMin && sig <= RTMax
}

// Name returns the signal's name in a form that Parse reads: SIGTERM,
// SIGRTMIN+3. A signal without a name (32, 33) gets its number.
func Name(sig Signal) string {
	if name := unix.SignalName(sig); name != "" {
		return name
	}
	switch {
	case sig == RTMin:
		return "SIGRTMIN"
	case sig == RTMax:
		return "SIGRTMAX"
	case sig > RTMin && sig < RTMax:
		return "SIGRTMIN+" + strconv.Itoa(int(sig-RTMin))
	}
	return strconv.Itoa(int(sig))
}

// Rewrites maps a signal that usher receives to the signal that the app gets
// instead; 0 swallows it.
type Rewrites map[Signal]Signal

// Parse adds FROM:TO. Each is a signal as the function Parse reads it, and TO
// may be 0. It is an error to name the same FROM twice, or a FROM that cannot
// be caught or is usher's own (SIGCHLD).
func (r Rewrites) Parse(s string) error {
	fromName, toName, ok := strings.Cut(s, ":")
	if !ok {
		return fmt.Errorf("rewrite %q: want FROM:TO, such as TERM:QUIT", s)
	}
	from, err := Parse(fromName)
	if err != nil {
		return fmt.Errorf("rewrite %q: %w", s, err)
	}
	if slices.Contains([]Signal{unix.SIGKILL, unix.SIGSTOP, unix.SIGCHLD}, from) {
		return fmt.Errorf("rewrite %q: usher never forwards %s", s, Name(from))
	}
	to := Signal(0)
	if toName != "0" {
		if to, err = Parse(toName); err != nil {
			return fmt.Errorf("rewrite %q: %w", s, err)
		}
	}
	if _, twice := r[from]; twice {
		return fmt.Errorf("rewrite %q: %s is rewritten already", s, Name(from))
	}
	r[from] = to
	return nil
}

// Apply returns the signal to send for the one received; 0 means none.
func (r Rewrites) Apply(sig Signal) Signal {
	if to, ok := r[sig]; ok {
		return to
	}
	return sig
}
