package spawn

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"usher/signals"
	"usher/supervisor/binfmt"
)

// child has all that a new process needs between fork and exec. No memory can
// be allocated there.
type child struct {
	files     []*byte
	argv, env []*byte
	shell     []*byte // /bin/sh, a place for one of files, argv[1:]
	head      [binfmt.HeadSize]byte
	tty       uintptr
	hasTTY    bool
	session   bool
	mortal    bool // the kernel kills the child when the parent's thread ends
	private   bool // the child inherits only the first three descriptors
	stdio     []uintptr
	mask, all signals.Set
	ignored   []signals.Signal
	noFile    *unix.Rlimit
	user      *Identity
	noNew     bool     // set no_new_privs
	ownPIDs   [][]byte // places in the environment for the app's own pid
	pgid      int32

	report  failure
	reportW int32  // the writing end of the pipe for report
	stack   []byte // for a child that shares usher's memory
}

// failure is the report of a child that can't execute its program: the error, the
// step that failed, and the index of the file for stepExec and stepShell.
type failure struct {
	errno uintptr
	step  Step
	file  uintptr
}

// Step is a step on the way from fork to the program that may fail.
type Step uintptr

const (
	stepExec Step = iota
	stepShell
	StepSetgroups
	StepSetgid
	StepSetuid
	StepNoNewPrivs
	StepStdio
)

// DropError says that a child could not get the user, the groups or the
// restrictions that were asked for.
type DropError struct {
	Step  Step
	User  *Identity
	Errno syscall.Errno
}

func (e *DropError) Error() string {
	switch e.Step {
	case StepNoNewPrivs:
		return "cannot set no_new_privs: " + e.Errno.Error()
	case StepStdio:
		return "cannot pass on stdin, stdout and stderr: " + e.Errno.Error()
	}
	what := [...]string{StepSetgroups: "setgroups", StepSetgid: "setgid", StepSetuid: "setuid"}[e.Step]
	return fmt.Sprintf("cannot become uid %d, gid %d: %s: %v", e.User.UID, e.User.GID, what, e.Errno)
}

func (e *DropError) Unwrap() error { return e.Errno }

func newChild(p *Process) (*child, error) {
	c := &child{
		noNew:   p.NoNewPrivs,
		session: p.Session,
		mortal:  p.DieWithThread,
		mask:    p.Inherited.Mask,
		all:     signals.All(),
		noFile:  p.Inherited.NoFile,
		hasTTY:  p.TTY >= 0,
		tty:     uintptr(p.TTY),
		private: p.Stdio != nil,
		stack:   make([]byte, stackSize),
	}
	for sig := signals.Signal(1); sig <= signals.RTMax; sig++ {
		if p.Inherited.Ignored.Has(sig) {
			c.ignored = append(c.ignored, sig)
		}
	}
	var err error
	if c.argv, err = syscall.SlicePtrFromStrings(p.Argv); err != nil {
		return nil, fmt.Errorf("cannot pass on an argument: %w", err)
	}
	if c.env, err = syscall.SlicePtrFromStrings(p.Env); err != nil {
		return nil, fmt.Errorf("cannot pass on the environment: %w", err)
	}
	if c.files, err = syscall.SlicePtrFromStrings(p.Files); err != nil {
		return nil, fmt.Errorf("cannot run %q: %w", p.Argv[0], err)
	}
	c.files = c.files[:len(p.Files)] // without the nil that SlicePtrFromStrings appends
	c.shell, _ = syscall.SlicePtrFromStrings([]string{shell, ""})
	c.shell = append(c.shell[:2], c.argv[1:]...)
	if p.User != nil && !p.User.Current() {
		c.user = p.User
	}
	for _, fd := range p.Stdio {
		c.stdio = append(c.stdio, uintptr(fd))
	}
	if p.Stdio != nil {
		return c, nil
	}
	// Sockets that were passed to usher are for the app (sd_listen_fds(3)). The app
	// accepts them, and a watchdog (sd_watchdog_enabled(3)), only if the variables
	// have its own pid.
	own := strconv.Itoa(unix.Getpid())
	env := c.env[:0]
	for i, entry := range p.Env {
		switch name, value, _ := strings.Cut(entry, "="); {
		case value == own && (name == "LISTEN_PID" || name == "WATCHDOG_PID"):
			b := make([]byte, len(name)+1+pidDigits+1)
			n := copy(b, entry[:len(name)+1])
			env = append(env, &b[0])
			c.ownPIDs = append(c.ownPIDs, b[n:])
		case name == "LISTEN_PIDFDID" && slices.Contains(p.Env, "LISTEN_PID="+own):
			// The app's own pidfd number (systemd 260) is not known before the app exists.
		default:
			env = append(env, c.env[i])
		}
	}
	c.env = append(env, nil)
	if p.Stderr > 0 {
		c.stdio = []uintptr{0, 1, uintptr(p.Stderr)}
	}
	return c, nil
}

// shell runs scripts without a #! line.
const shell = "/bin/sh"

// pidDigits is room for the largest pid (PID_MAX_LIMIT, 2^22;
// proc_sys_kernel(5)).
const pidDigits = 10
