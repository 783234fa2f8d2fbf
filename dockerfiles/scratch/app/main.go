// App is the static app of the FROM scratch image. The container tests use it
// to look into the container: it prints the signals that it gets, ends as its
// arguments say, and leaves orphans behind.
package main

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"syscall"
)

const usage = `usage: app serve [--term die|drain|ignore]   http on :8080
       app exit CODE                         ends with that code
       app die SIGNAL                        killed by that signal (a number)
       app orphans N                         starts N processes and leaves them
       app nap                               one of these: lives until serve gets POST /bell
       app closed COMMAND...                 COMMAND with stdout and stderr closed
       app broken COMMAND...                 COMMAND with stdout and stderr that nobody reads
`

func main() {
	code, err := run(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "app:", err)
		if errors.Is(err, errUsage) {
			fmt.Fprint(os.Stderr, usage)
		}
		code = 99 // no exit code of usher's own
	}
	os.Exit(code)
}

var errUsage = errors.New("cannot make sense of the command line")

func run(args []string) (code int, err error) {
	if len(args) == 0 {
		return 0, errUsage
	}
	switch verb, args := args[0], args[1:]; {
	case verb == "serve" && len(args) == 0:
		return serve("die")
	case verb == "serve" && len(args) == 2 && args[0] == "--term":
		return serve(args[1])
	case verb == "exit" && len(args) == 1:
		return strconv.Atoi(args[0])
	case verb == "die" && len(args) == 1:
		return 0, die(args[0])
	case verb == "orphans" && len(args) == 1:
		return 0, orphans(args[0])
	case verb == "nap" && len(args) == 0:
		return 0, nap()
	case verb == "closed" && len(args) > 0:
		return 0, closed(args)
	case verb == "broken" && len(args) > 0:
		return 0, broken(args)
	}
	return 0, errUsage
}

func die(signal string) error {
	n, err := strconv.Atoi(signal)
	if err != nil {
		return err
	}
	if err := syscall.Kill(os.Getpid(), syscall.Signal(n)); err != nil {
		return err
	}
	select {} // the signal may reach another thread a moment later
}

func orphans(count string) error {
	n, err := strconv.Atoi(count)
	if err != nil {
		return err
	}
	for range n {
		if err := exec.Command("/proc/self/exe", "nap").Start(); err != nil {
			return fmt.Errorf("cannot start an orphan: %w", err)
		}
	}
	return nil
}

func nap() error {
	resp, err := http.Get("http://127.0.0.1:8080/bell")
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

func closed(command []string) error {
	// The exec itself closes them, so that this process's Go runtime is not without
	// them before.
	syscall.CloseOnExec(1)
	syscall.CloseOnExec(2)
	return syscall.Exec(command[0], command, os.Environ())
}

func broken(command []string) error {
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	r.Close()
	for fd := 1; fd <= 2; fd++ {
		if err := syscall.Dup3(int(w.Fd()), fd, 0); err != nil {
			return err
		}
	}
	return syscall.Exec(command[0], command, os.Environ())
}
