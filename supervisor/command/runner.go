package command

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"usher/signals"
	"usher/signals/entry"
	"usher/supervisor/event"
	"usher/supervisor/explain"
	"usher/supervisor/spawn"
)

// Log takes what an administrator should know. It must not block.
type Log interface {
	Event(e *event.Event)
	// Output takes what the command of that name has written, whole lines.
	Output(name, lines string)
	// Stalled reports whether there is little room for more Output.
	Stalled() bool
}

// Max is the number of commands that may run at a time. SIGKILL can't end a
// command that is in a system call on a dead file server, and such commands
// would add up.
const Max = 64

// ErrAppEnded is the error of Exec for a command that comes after the app's end.
var ErrAppEnded = errors.New("the app has ended")

// Runner runs commands. Its fields are set before the first command. Only Exec may
// be called by any goroutine, the other methods on the loop.
type Runner struct {
	// Explainer explains failed starts. It has the app's environment and user,
	// which are the commands' as well.
	explain.Explainer
	Self       int // usher's pid
	Log        Log
	NoNewPrivs bool           // the app's
	Source     signals.Source // for what the app inherits
	Pending    *spawn.Pending // all children that are about to execute
	// Post has the loop call a function.
	Post func(func())
	// Wanted reports whether commands for Exec make sense at present.
	Wanted func() bool
	// Started is called when there is one more child.
	Started func()

	running  []*Command
	outputs  []*output     // of commands, some of which may have ended
	nextRead time.Duration // delay until outputs are read again; negative means at the next SIGCHLD
}

// Exec runs a program. Its output does not go to the log, but its last line is a
// part of the error. Exec returns nil if the program has exited with 0. The end of
// ctx kills the program's process group. Then the error is ctx.Err(), and the last
// line if there is one.
func (r *Runner) Exec(ctx context.Context, argv []string) error {
	done := make(chan *Outcome, 1)
	c := &Command{Argv: argv, Done: func(o *Outcome) { done <- o }}
	r.Post(func() {
		switch {
		case ctx.Err() != nil:
		case !r.Wanted():
			done <- &Outcome{Err: ErrAppEnded}
		default:
			r.Run(c)
		}
	})
	select {
	case o := <-done:
		return o.Failure()
	case <-ctx.Done():
	}
	r.Post(func() { c.Kill() })
	killed := time.NewTimer(spawn.KilledTime)
	defer killed.Stop()
	select {
	case o := <-done:
		if o.Last != "" {
			return fmt.Errorf("%w: %s", ctx.Err(), o.Last)
		}
	case <-killed.C:
	}
	return ctx.Err()
}

// Run starts c. It is registered before anything can be reaped, because both
// happen on the loop.
func (r *Runner) Run(c *Command) {
	if err := r.start(c); err != nil {
		r.Post(func() { c.Done(&Outcome{Err: err}) }) // not at once: the caller of Run is not ready for it
		return
	}
	if len(r.outputs) == 0 {
		r.nextRead = -1
	}
	r.running = append(r.running, c)
	r.outputs = append(r.outputs, c.output)
	r.Started()
}

func (r *Runner) start(c *Command) error {
	if len(r.running) >= Max {
		return fmt.Errorf("%d commands are running already", len(r.running))
	}
	entry.Raise()
	defer entry.Restore()
	null, err := unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("cannot open /dev/null: %w", err)
	}
	defer unix.Close(null)
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
		return fmt.Errorf("cannot make a pipe: %w", err)
	}
	writeFD := fds[1]
	defer unix.Close(writeFD)
	output, err := newOutput(fds[0], c.Name, r.Self) // before the first write, of which the kernel is to tell
	if err != nil {
		unix.Close(fds[0])
		return fmt.Errorf("cannot make a pipe: %w", err)
	}
	env := r.env()
	if r.User != nil {
		_ = unix.Fchown(writeFD, int(r.User.UID), -1) // so that it can open /dev/stdout, as the app can
	}
	l, err := spawn.Start(&spawn.Process{
		Files:      spawn.Candidates(c.Argv[0], env),
		Argv:       c.Argv,
		Env:        env,
		TTY:        -1,
		Stdio:      []int{null, writeFD, writeFD},
		Inherited:  r.Source.Inherited(),
		User:       r.User,
		NoNewPrivs: r.NoNewPrivs,
	})
	if err == nil && r.Pending.Add(l, r.Self) {
		err = l.Err
	}
	if err != nil {
		output.close()
		return r.explained(c, err)
	}
	c.pid, c.output, c.starting = l.PID, output, l
	r.Log.Event(&event.Event{Kind: event.CommandStarted, Hook: c.kind(), Command: c.Argv[0], PID: l.PID})
	return nil
}

func (r *Runner) explained(c *Command, err error) error {
	return &StartError{r.Explain(c.Argv, err)}
}

// appsOwn are the variables by which others and the app talk to each other: its
// sockets, its watchdog, its NOTIFY_SOCKET (sd_listen_fds(3),
// sd_watchdog_enabled(3), sd_notify(3)). Commands do not get them.
var appsOwn = [...]string{"NOTIFY_SOCKET=", "LISTEN_", "WATCHDOG_"}

// env returns the environment of commands.
func (r *Runner) env() []string {
	env := slices.DeleteFunc(slices.Clone(r.Env), func(variable string) bool {
		return slices.ContainsFunc(appsOwn[:], func(prefix string) bool { return strings.HasPrefix(variable, prefix) })
	})
	if r.User != nil {
		env = r.User.WithHome(env)
	}
	return env
}

// Has reports whether a command runs that has the process group.
func (r *Runner) Has(group int) bool { return r.find(group) != nil }

// find returns the command that has the pid, or nil.
//
//go:noinline
func (r *Runner) find(pid int) *Command {
	for _, c := range r.running {
		if c.pid == pid {
			return c
		}
	}
	return nil
}

// KillAll kills all commands, because the app has ended.
func (r *Runner) KillAll() {
	for _, c := range r.running {
		c.Kill()
	}
}

// Changed handles a change of state of a child. It returns false if the child
// is no command.
func (r *Runner) Changed(pid int, status unix.WaitStatus) bool {
	c := r.find(pid)
	switch {
	case c == nil:
		return false
	case status.Exited() || status.Signaled():
		r.ended(c, status)
	case status.Stopped() && !c.starting.Wait(0):
		c.starting.Continue()
	}
	return true
}

// ended delivers the outcome of a command that has been reaped. A hook may have
// left a process in the background, and that process may go on writing to the
// log.
func (r *Runner) ended(c *Command, status unix.WaitStatus) {
	last := len(r.running) - 1
	for i := range r.running {
		if r.running[i] == c {
			r.running[i], r.running[last] = r.running[last], nil
		}
	}
	r.running = r.running[:last]
	c.pid = 0
	c.output.drain(r.Log)
	if c.Name == "" {
		c.output.close()
	}
	o := &Outcome{Status: status, Last: c.output.last}
	if c.starting.Wait(0) && c.starting.Err != nil {
		o.Err = r.explained(c, c.starting.Err)
	}
	c.Done(o)
}

// ReadOutputs reads what commands have written, a little of each at a time, so
// that none can delay the loop by writing without end. While the log has no
// room, hooks have to wait, as for any slow reader.
func (r *Runner) ReadOutputs() {
	r.nextRead = -1
	open := r.outputs[:0]
	for _, o := range r.outputs {
		switch {
		case o.name != "" && r.Log.Stalled():
			r.nextRead = stallPoll
		case o.read(r.Log):
			r.nextRead = 0
		}
		if o.fd >= 0 {
			open = append(open, o)
		}
	}
	r.outputs = open
}

// NextRead returns the delay after which ReadOutputs is to be called again. It is
// negative if SIGCHLD will tell.
func (r *Runner) NextRead() time.Duration {
	if len(r.outputs) == 0 {
		return -1
	}
	return r.nextRead
}

// LastLine reads what c has written until now, and returns the last line that
// is not blank.
func (r *Runner) LastLine(c *Command) string {
	if c.output == nil {
		return ""
	}
	c.output.drain(r.Log)
	return c.output.last
}
