// Command demo shows in seconds, without Docker, what usher is for. It stops a
// server that dies at once on SIGTERM under a running client, and no request
// fails. The same server without the hold is the control, and has to fail.
// Requests that take longer than the hold are cut as well, unless usher waits
// for them.
//
// A demo is also a test: it exits with 1 if its claims are not true.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"syscall"
	"time"
)

// The processes of the demo ask the kernel for a signal if the demo is killed.
// The kernel ties that to the thread that forked, not to the process
// (golang.org/issue/27505). So main keeps one thread, and only main starts
// processes.
func init() { runtime.LockOSThread() }

type options struct {
	usher     string
	server    string
	termDelay time.Duration
	letGo     time.Duration
	figures   string
}

func main() {
	var o options
	flag.StringVar(&o.usher, "usher", "bin/usher", "the usher to show")
	flag.StringVar(&o.server, "server", "", "nginx or python3 (default: the first one found)")
	flag.DurationVar(&o.termDelay, "term-delay", 4*time.Second, "usher's --term-delay")
	flag.DurationVar(&o.letGo, "let-go", 2*time.Second,
		"how long the load balancer takes to let go of an app that is not ready")
	flag.StringVar(&o.figures, "figures", "", "write the figures of all runs to this file, for examples/plan to draw")
	flag.Parse()

	// SIGPIPE as well: `make demo | head` must not leave a server running either.
	ctx, stop := signal.NotifyContext(context.Background(),
		syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGPIPE)
	err := run(ctx, o)
	interrupted := ctx.Err() != nil
	stop()
	switch {
	case interrupted:
		fmt.Fprintln(os.Stderr, "\ndemo: interrupted; all its processes are gone")
		os.Exit(130)
	case err != nil:
		fmt.Fprintf(os.Stderr, "\ndemo: error: %v\n", err)
		os.Exit(1)
	}
}

// run shows everything, in the order in which it is read. Its processes and
// files are gone when it returns.
func run(ctx context.Context, o options) (err error) {
	s := newScreen(os.Stdout)
	usher, err := filepath.Abs(o.usher)
	if err != nil {
		return err
	}
	if _, err := exec.LookPath(usher); err != nil {
		const hint = "`make demo` builds it first, `-usher PATH` names another one"
		return fmt.Errorf("cannot run usher: %w\ndemo: hint: %s", err, hint)
	}

	kind, err := findServer(ctx, s, o.server)
	if errors.Is(err, errNoServer) {
		s.print("Nothing shown, nothing checked: %v.", err)
		return nil
	}
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "usher-demo-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	// If root starts nginx, its workers run as another user.
	if err := os.Chmod(dir, 0o755); err != nil {
		return err
	}

	s.title("%s dies at once on SIGTERM, and cuts its connections. Here it is behind usher", kind.name)
	held, err := show(ctx, s, o, usher, kind, dir)
	if err != nil {
		return err
	}
	controls, err := control(ctx, s, o, usher, kind, dir)
	if err != nil {
		return err
	}
	s.title("Result")
	s.table(append([]result{held}, controls...),
		"Requests from SIGTERM until the load balancer had let go; gone: when the server had ended.")
	s.title("The termination log (kubectl describe pod shows it as the message of the last state)")
	s.quote(held.lastWord)
	cut, finished, err := slow(ctx, s, usher, kind, dir)
	if err != nil {
		return err
	}
	if err := errors.Join(verdict(o, kind, held, controls), slowVerdict(cut, finished)); err != nil || o.figures == "" {
		return err
	}
	return writeFigures(o.figures, kind.name, append([]result{held}, controls...))
}

// verdict returns an error for each claim of the demo that is not true.
func verdict(o options, kind *serverKind, held result, controls []result) error {
	var errs []error
	if n := held.after.Failed(); n > 0 {
		errs = append(errs, fmt.Errorf("%d requests failed with usher (%v); none may", n, held.after))
	}
	if n := held.before.Failed(); n > 0 {
		errs = append(errs,
			fmt.Errorf("%d requests failed with usher before the stop (%v): %s is not well", n, held.before, kind.name))
	}
	if held.after.OK == 0 {
		errs = append(errs, errors.New("no request was answered after SIGTERM with usher: the demo shows nothing"))
	}
	// A loaded machine may be late, never early.
	if held.gone < o.termDelay-100*time.Millisecond {
		errs = append(errs,
			fmt.Errorf("%s was gone at %s, --term-delay was %s", kind.name, seconds(held.gone), o.termDelay))
	}
	if held.code != kind.exitCode {
		errs = append(errs, fmt.Errorf("usher exited with %d, %s with %d", held.code, kind.name, kind.exitCode))
	}
	if len(held.lastWord) == 0 {
		errs = append(errs, errors.New("usher wrote nothing to its termination log"))
	}
	for _, c := range controls {
		if c.after.Failed() == 0 {
			errs = append(errs, fmt.Errorf("no request failed in the control %q: the demo proves nothing", c.label))
		}
	}
	return errors.Join(errs...)
}
