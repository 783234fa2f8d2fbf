package dockerfiles

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// A screen collects what a terminal shows. It may be read while it is written to.
type screen struct {
	mu   sync.Mutex
	text strings.Builder
}

func (s *screen) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(b)
}

func (s *screen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// onTerminal starts a docker command on a terminal of its own, and returns what is typed and shown there.
func onTerminal(t *testing.T, args ...string) (shown *screen, keyboard *os.File, end func() int) {
	t.Helper()
	keyboard, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no pseudo-terminal: %v", err)
	}
	n, err := unix.IoctlGetInt(int(keyboard.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(keyboard.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	tty, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	resize(t, keyboard, 24, 80)
	cmd := exec.Command("docker", args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = tty, tty, tty
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	tty.Close()
	shown = new(screen)
	buf := make([]byte, 4096)
	read := make(chan struct{})
	go func() {
		defer close(read)
		for {
			n, err := keyboard.Read(buf)
			shown.Write(buf[:n])
			if err != nil {
				return
			}
		}
	}()
	ended := make(chan int, 1)
	go func() {
		cmd.Wait()
		ended <- cmd.ProcessState.ExitCode()
	}()
	t.Cleanup(func() {
		cmd.Process.Kill()
		keyboard.Close()
		<-read
		if t.Failed() {
			t.Logf("the screen:\n%s", shown)
		}
	})
	return shown, keyboard, func() int {
		t.Helper()
		var code int
		eventually(t, "the end of docker "+args[0], func() bool {
			select {
			case code = <-ended:
				return true
			default:
				return false
			}
		})
		return code
	}
}

func resize(t *testing.T, keyboard *os.File, rows, columns uint16) {
	t.Helper()
	if err := unix.IoctlSetWinsize(int(keyboard.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: rows, Col: columns}); err != nil {
		t.Fatal(err)
	}
}

// TestTerminal: in front of `docker run -it` a shell has its job control, and every key means once what it means without usher.
func TestTerminal(t *testing.T) {
	t.Parallel()
	_, args := prepare(t, spec{image: redisImage, flags: []string{"-it", "-e", "PS1=<prompt>", "--entrypoint", "/usher"},
		command: []string{"--", "bash", "--norc", "--noediting"}})
	shown, keyboard, end := onTerminal(t, append([]string{"run"}, args...)...)
	// What is typed is shown too: commands are written so that only their output is looked for.
	step := func(input, want string) {
		t.Helper()
		before := len(shown.String())
		fmt.Fprint(keyboard, input)
		eventually(t, fmt.Sprintf("%q after %q", want, input), func() bool { return strings.Contains(shown.String()[before:], want) })
	}
	// Docker passes the terminal's size on only after the start of a container, whose first look may find none.
	sized := func(want string) {
		t.Helper()
		eventually(t, "a terminal of "+want, func() bool {
			before := len(shown.String())
			step("stty size; echo looked-$((1+1))\n", "looked-2")
			return strings.Contains(shown.String()[before:], want+"\r\n")
		})
	}
	step("", "<prompt>")
	sized("24 80")
	step("trap 'echo size-$((1+1))' WINCH; echo trap-$((1+1))\n", "trap-2")
	resize(t, keyboard, 33, 99)
	eventually(t, "SIGWINCH", func() bool { // the engine passes the size on in its own time, and bash runs a trap when it has read a line
		fmt.Fprint(keyboard, "\n")
		return strings.Contains(shown.String(), "size-2")
	})
	sized("33 99")
	step("bash -c 'trap \"echo int-$((1+1)); over=1\" INT; echo runs-$((1+1)); while [ -z \"$over\" ]; do sleep 0.05; done; echo over-$((1+1))'\n", "runs-2")
	step("\x03", "over-2")
	if n := strings.Count(shown.String(), "int-2"); n != 1 {
		t.Errorf("Ctrl-C arrived %d times", n)
	}
	step("bash -c 'echo job-$((1+1)); exec sleep 2000'\n", "job-2")
	step("\x1a", "Stopped")
	step("bg; jobs\n", "Running")
	step("fg\n", "2000'\r\n")
	step("\x03", "<prompt>")
	fmt.Fprint(keyboard, "exit 7\n")
	if code := end(); code != 7 {
		t.Errorf("exit code %d, want 7", code)
	}
}
