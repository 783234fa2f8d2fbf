package supervisor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"usher/signals/entry"
	"usher/supervisor/lifecycle"
	"usher/supervisor/spawn"
)

// Commands are what usher runs beside the app: hooks, and checks that are programs. The loop starts them and reaps them, as it does all
// else, so that none can lose its status; each is a process group of its own, has the app's environment and user, nothing on stdin, and a
// pipe to usher for stdout and stderr.

// command is one of them.
type command struct {
	name string // its output goes to the log, under this name; "" keeps it from there
	argv []string
	done func(*outcome) // called once, on the loop

	pid      int // 0 before its start and after its end
	starting *spawn.Starting
	output   *output
}

// outcome is how a command ended.
type outcome struct {
	err    error           // it could not be started (*startError), or is none that was
	status unix.WaitStatus // otherwise
	last   string          // the last line of its output that is not blank
}

// failure says in a line why the command has failed, the last line of its output
// included; nil if it exited with 0.
func (o *outcome) failure() error {
	if o.err != nil {
		return o.err
	}
	return spawn.ExitError(o.status, o.last)
}

// startError is why a command could not be started, and the exit code that a shell has for that.
type startError struct {
	why  string
	code int
}

func (e *startError) Error() string { return e.why }

// maxCommands bounds commands at a time. Those that SIGKILL can't end, in a system call on a dead file server, would else add up.
const maxCommands = 64

// errAppEnded is the outcome of a command that comes too late.
var errAppEnded = errors.New("the app has ended")

// Exec runs a program beside the app, its output unseen but for the last line, which is part of the error. It returns nil once that has
// exited with 0; at the end of ctx, which kills the program's process group, ctx.Err(), and the last line if there is one. Any goroutine
// may call it, once Run has been called.
func (s *Supervisor) Exec(ctx context.Context, argv []string) error {
	done := make(chan *outcome, 1)
	c := &command{argv: argv, done: func(o *outcome) { done <- o }}
	s.post(func() {
		switch {
		case ctx.Err() != nil:
		case !s.life.Phase().Alive() && s.life.Phase() != lifecycle.Preparing:
			done <- &outcome{err: errAppEnded}
		default:
			s.run(c)
		}
	})
	select {
	case o := <-done:
		return o.failure()
	case <-ctx.Done():
	}
	s.post(func() { c.kill() })
	killed := time.NewTimer(spawn.KilledTime)
	defer killed.Stop()
	select {
	case o := <-done:
		if o.last != "" {
			return fmt.Errorf("%w: %s", ctx.Err(), o.last)
		}
	case <-killed.C:
	}
	return ctx.Err()
}

// post has the loop call f. Any goroutine may call it.
func (s *Supervisor) post(f func()) {
	s.posts.Lock()
	s.posts.queue = append(s.posts.queue, f)
	s.posts.Unlock()
	s.source.Wake()
}

// posted calls what has been posted.
func (s *Supervisor) posted() {
	s.posts.Lock()
	queue := s.posts.queue
	s.posts.queue = nil
	s.posts.Unlock()
	for _, f := range queue {
		f()
	}
}

// run starts c, and registers it before anything can be reaped: both happen on the loop.
func (s *Supervisor) run(c *command) {
	if err := s.spawnCommand(c); err != nil {
		s.post(func() { c.done(&outcome{err: err}) }) // not at once: its owner is busy starting it
		return
	}
	s.commands[c.pid] = c
	s.outputs = append(s.outputs, c.output)
	s.childless = false
}

func (s *Supervisor) spawnCommand(c *command) error {
	if len(s.commands) >= maxCommands {
		return fmt.Errorf("%d commands are running already", len(s.commands))
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
	output, err := newOutput(fds[0], c.name, s.self) // before the first write, which is to be heard of
	if err != nil {
		unix.Close(fds[0])
		return fmt.Errorf("cannot make a pipe: %w", err)
	}
	env := s.commandEnv()
	if s.as != nil {
		_ = unix.Fchown(writeFD, int(s.as.UID), -1) // so that it can open /dev/stdout, as the app can
	}
	l, err := spawn.Start(&spawn.Process{
		Files:     spawn.Candidates(c.argv[0], env),
		Argv:      c.argv,
		Env:       env,
		TTY:       -1,
		Stdio:     []int{null, writeFD, writeFD},
		Inherited: s.source.Inherited(),
		User:      s.as,

		NoNewPrivs: s.config.NoNewPrivs,
	})
	if err == nil && s.hasStarted(l) {
		err = l.Err
	}
	if err != nil {
		output.close()
		return s.cannotStart(c, err)
	}
	c.pid, c.output, c.starting = l.PID, output, l
	s.log.Debugf("%s %q started, pid %d", c.kind(), c.argv[0], l.PID)
	return nil
}

func (s *Supervisor) cannotStart(c *command, err error) error {
	x := s.explain(c.argv, err)
	return &startError{x.Why, x.Code}
}

// appsOwn are variables by which others speak to the app, or it to them: its sockets, its watchdog, its NOTIFY_SOCKET (sd_listen_fds(3),
// sd_watchdog_enabled(3), sd_notify(3)). They are not for commands beside it.
var appsOwn = [...]string{"NOTIFY_SOCKET=", "LISTEN_", "WATCHDOG_"}

// commandEnv is the environment of commands.
func (s *Supervisor) commandEnv() []string {
	env := slices.DeleteFunc(slices.Clone(s.config.Env), func(variable string) bool {
		return slices.ContainsFunc(appsOwn[:], func(prefix string) bool { return strings.HasPrefix(variable, prefix) })
	})
	if s.as != nil {
		env = s.as.WithHome(env)
	}
	return env
}

// kind is what the log calls c.
func (c *command) kind() string {
	if c.name == "" {
		return "check"
	}
	return c.name
}

// kill kills c and its process group. It may only be called on the loop: until c is reaped there, the number is that group's.
func (c *command) kill() {
	if c.pid != 0 {
		_ = unix.Kill(-c.pid, unix.SIGKILL)
		_ = unix.Kill(c.pid, unix.SIGKILL) // it may have left its group
	}
}

// killCommands: the app is gone, and what was there for it goes as well.
func (s *Supervisor) killCommands() {
	for _, c := range s.commands {
		c.kill()
	}
}

// commandEnded delivers the outcome of a command that has been reaped. Its output may go on where it has left a process in the background,
// whom a hook's log is kept open for.
func (s *Supervisor) commandEnded(c *command, status unix.WaitStatus) {
	delete(s.commands, c.pid)
	c.pid = 0
	c.output.drain(s.log)
	if c.name == "" {
		c.output.close()
	}
	o := &outcome{status: status, last: c.output.last}
	if c.starting.Wait(0) && c.starting.Err != nil {
		o.err = s.cannotStart(c, c.starting.Err)
	}
	c.done(o)
}
