package main_test

import (
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// terminal makes a pseudo-terminal, whose lines are collected in what it returns first.
func terminal(t *testing.T) (screen *output, keyboard, tty *os.File) {
	t.Helper()
	keyboard, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no pseudo-terminal: %v", err)
	}
	fd := int(keyboard.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if tty, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0); err != nil {
		t.Fatal(err)
	}
	screen = new(output)
	go io.Copy(screen, keyboard)
	t.Cleanup(func() {
		tty.Close()
		keyboard.Close()
	})
	return screen, keyboard, tty
}

// onTerminal runs usher as `docker run -it` does: as the leader of a session whose terminal is stdin, stdout and stderr.
func onTerminal(t *testing.T, u *usher) (screen *output, keyboard *os.File) {
	t.Helper()
	screen, keyboard, tty := terminal(t)
	u.cmd.Stdin, u.cmd.Stdout, u.cmd.Stderr = tty, tty, tty
	if u.cmd.SysProcAttr == nil {
		u.cmd.SysProcAttr = new(syscall.SysProcAttr)
	}
	u.cmd.SysProcAttr.Setsid, u.cmd.SysProcAttr.Setctty = true, true
	u.begin()
	return screen, keyboard
}

func shows(t *testing.T, screen *output, text string) {
	t.Helper()
	eventually(t, func() error {
		if !strings.Contains(screen.String(), text) {
			return fmt.Errorf("%q is not on the screen: %q", text, screen)
		}
		return nil
	})
}

// reads waits until the leader of the terminal's foreground group waits for input. If counter is stopped just before it does, it runs its trap
// only once it has read a line.
func reads(t *testing.T, keyboard *os.File) {
	t.Helper()
	eventually(t, func() error {
		leader, err := unix.IoctlGetInt(int(keyboard.Fd()), unix.TIOCGPGRP)
		if err != nil {
			return err
		}
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", leader))
		if err == nil && !strings.Contains(string(stat), "(bash) S ") {
			err = fmt.Errorf("it does not read yet: %s", stat)
		}
		return err
	})
}

// The app is the foreground group: it can read from the terminal, and Ctrl-C reaches it, once.
func TestForeground(t *testing.T) {
	eachBuild(t, func(t *testing.T, b *build) {
		u := command(t, b, "--", "sh", "-c", script("keys.sh"))
		screen, keyboard := onTerminal(t, u)
		shows(t, screen, "<ready>")
		fmt.Fprint(keyboard, "hello\n")
		shows(t, screen, "<got hello>")
		fmt.Fprint(keyboard, "\x03")
		shows(t, screen, "<INT>")
		if err := unix.IoctlSetWinsize(int(keyboard.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 33, Col: 99}); err != nil {
			t.Fatal(err)
		}
		fmt.Fprint(keyboard, "again\n")
		shows(t, screen, "<got again>")
		shows(t, screen, "<WINCH>")
		if n := strings.Count(screen.String(), "<INT>"); n != 1 {
			t.Errorf("Ctrl-C arrived %d times", n)
		}
		u.signal(unix.SIGTERM)
		eventually(t, func() error { // bash may look for traps only once it has read a line
			fmt.Fprint(keyboard, "wake\n")
			select {
			case <-u.done:
				return nil
			default:
				return fmt.Errorf("not ended: %q", screen)
			}
		})
		u.want(42)
	})
}

// underBash runs an interactive bash on a terminal, for usher to be a job of.
func underBash(t *testing.T) (screen *output, keyboard *os.File, bash *usher) {
	t.Helper()
	bash = commandHere(t, &made)
	bash.cmd.Path, bash.cmd.Args = "/bin/bash", []string{"bash", "--norc", "--noprofile", "--noediting", "-i"}
	bash.cmd.Env = append(bash.cmd.Env, "PS1=$ ", "HISTFILE=", "U="+made.path, "COUNTER="+counter)
	screen, keyboard = onTerminal(t, bash)
	fmt.Fprint(keyboard, "stty -echo; echo '<bash>'\n")
	shows(t, screen, "<bash>\r\n")
	return screen, keyboard, bash
}

// counter is an app that reads from the terminal and says what it read.
const counter = `trap 'echo "<cont>"' CONT; echo "<up>"; while read -r line || [ $? -gt 128 ]; do echo "<got $line>"; done`

// Ctrl-Z, fg and bg under a shell with job control, as without usher.
func TestJobControl(t *testing.T) {
	screen, keyboard, bash := underBash(t)
	fmt.Fprint(keyboard, "$U -- bash -c \"$COUNTER\"\n")
	shows(t, screen, "<up>")
	for i := range 3 {
		fmt.Fprintf(keyboard, "before %d\n", i)
		shows(t, screen, fmt.Sprintf("<got before %d>", i))
		reads(t, keyboard)
		fmt.Fprint(keyboard, "\x1a")
		eventually(t, func() error {
			if n := strings.Count(screen.String(), "Stopped"); n <= 2*i {
				return fmt.Errorf("not stopped: %q", screen)
			}
			return nil
		})
		// bash has the terminal again.
		fmt.Fprintf(keyboard, "jobs; echo '<bash %d>'\n", i)
		shows(t, screen, fmt.Sprintf("<bash %d>\r\n", i))
		fmt.Fprint(keyboard, "fg\n")
		eventually(t, func() error {
			if n := strings.Count(screen.String(), "<cont>"); n <= i {
				return fmt.Errorf("not woken: %q", screen)
			}
			return nil
		})
		fmt.Fprintf(keyboard, "after %d\n", i)
		shows(t, screen, fmt.Sprintf("<got after %d>", i))
	}
	prompts := strings.Count(screen.String(), "$ ")
	fmt.Fprint(keyboard, "\x03")
	eventually(t, func() error {
		if strings.Count(screen.String(), "$ ") <= prompts {
			return fmt.Errorf("no prompt after Ctrl-C: %q", screen)
		}
		return nil
	})
	fmt.Fprint(keyboard, "echo \"<code $?>\"\n")
	shows(t, screen, "<code 130>")
	if n := strings.Count(screen.String(), "<cont>"); n != 3 {
		t.Errorf("%d times SIGCONT for three times fg: %q", n, screen)
	}
	if strings.Contains(screen.String(), "usher: ") {
		t.Errorf("usher has something to say about Ctrl-C: %q", screen)
	}
	fmt.Fprint(keyboard, "exit 0\n")
	bash.want(0)
}

// A usher that was started in the background takes the terminal when `fg` gives it to it, not before; and gives it back at its end.
func TestBackgroundAndBack(t *testing.T) {
	screen, keyboard, bash := underBash(t)
	fmt.Fprint(keyboard, "$U -- bash -c \"$COUNTER; exit 7\" &\n")
	shows(t, screen, "<up>")
	fmt.Fprint(keyboard, "echo '<mine>'\n")
	shows(t, screen, "<mine>\r\n")
	eventually(t, func() error { // it wants to read, which stops it
		fmt.Fprint(keyboard, "jobs\n")
		if !strings.Contains(screen.String(), "Stopped") {
			return fmt.Errorf("not stopped: %q", screen)
		}
		return nil
	})
	fmt.Fprint(keyboard, "fg\n")
	fmt.Fprint(keyboard, "hello\n")
	shows(t, screen, "<got hello>")
	fmt.Fprint(keyboard, "\x04") // end of input
	fmt.Fprint(keyboard, "echo \"<code $?>\"\n")
	shows(t, screen, "<code 7>")
	// In a script there is no shell that would take the terminal back itself.
	fmt.Fprint(keyboard, "bash -c '$U -- true; read -r line; echo \"<script $line>\"'\n")
	fmt.Fprint(keyboard, "goes on\n")
	shows(t, screen, "<script goes on>")
	fmt.Fprint(keyboard, "exit 0\n")
	bash.want(0)
}

// Without a shell nobody could wake the app again: Ctrl-Z does not stop it, as it would not stop PID 1.
func TestCtrlZWithoutAShell(t *testing.T) {
	u := command(t, &made, "--", "bash", "-c", counter)
	screen, keyboard := onTerminal(t, u)
	shows(t, screen, "<up>")
	reads(t, keyboard)
	fmt.Fprint(keyboard, "\x1a")
	shows(t, screen, "<cont>")
	fmt.Fprint(keyboard, "alive\n")
	shows(t, screen, "<got alive>")
	fmt.Fprint(keyboard, "\x04")
	u.want(0)
}

// TSTP, TTIN and TTOU sent to usher stop the app, SIGCONT wakes it, and a stopped one that has to stop is woken for it.
func TestStopAndContinue(t *testing.T) {
	eachBuild(t, func(t *testing.T, b *build) {
		for _, sig := range []syscall.Signal{unix.SIGTSTP, unix.SIGTTIN, unix.SIGTTOU} {
			u := start(t, b, "--", "sh", "-c", `trap 'echo "<cont>"' CONT; trap 'exit 42' TERM; echo "$$ ready"; while :; do sleep 0.01; done`)
			u.printed("ready\n")
			stopped := func() {
				t.Helper()
				eventually(t, func() error {
					kids, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", u.cmd.Process.Pid, u.cmd.Process.Pid))
					if err != nil {
						t.Skipf("cannot see the app's state: %v", err)
					}
					for _, kid := range strings.Fields(string(kids)) {
						b, _ := os.ReadFile("/proc/" + kid + "/stat")
						if strings.Contains(string(b), ") T ") {
							return nil
						}
					}
					return fmt.Errorf("the app is not stopped by %v", sig)
				})
			}
			u.signal(sig)
			stopped()
			u.signal(unix.SIGCONT)
			u.printed("<cont>\n")
			u.signal(sig)
			stopped()
			u.signal(unix.SIGTERM)
			u.want(42)
		}
	})
}
