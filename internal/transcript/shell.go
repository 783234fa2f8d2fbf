package transcript

import (
	"bufio"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"time"
)

const (
	commandLimit = time.Minute      // how long a command may take
	matchLimit   = 20 * time.Second // how long a command is tried again
)

// Shell is one bash that runs the commands of a page one after the other, as a
// reader does, so that variables and background jobs stay.
type Shell struct {
	cmd   *exec.Cmd
	stdin io.WriteCloser
	lines chan string
}

// StartShell starts bash in dir. Stderr is in the output, as on a terminal.
func StartShell(dir string, env []string) (*Shell, error) {
	s := &Shell{cmd: exec.Command("bash", "--norc"), lines: make(chan string)}
	s.cmd.Dir, s.cmd.Env = dir, env
	stdout, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	s.cmd.Stderr = s.cmd.Stdout
	if s.stdin, err = s.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		defer close(s.lines)
		for r := bufio.NewReader(stdout); ; {
			line, err := r.ReadString('\n')
			if line != "" {
				s.lines <- line
			}
			if err != nil {
				return
			}
		}
	}()
	return s, nil
}

// Close ends the shell.
func (s *Shell) Close() error {
	s.stdin.Close()
	for range s.lines { // until the shell and its jobs have ended
	}
	return s.cmd.Wait()
}

// endOfOutput is printed after each command, on a line of its own unless the
// command's output lacks its last newline.
const endOfOutput = "\x01end of output\x01"

// Run runs a command and returns what it prints. The command has no stdin.
func (s *Shell) Run(command string) (string, error) {
	if _, err := fmt.Fprintf(s.stdin, "{ %s\n} </dev/null\necho '%s'\n", command, endOfOutput); err != nil {
		return "", err
	}
	var out strings.Builder
	limit := time.After(commandLimit)
	for {
		select {
		case line, ok := <-s.lines:
			if !ok {
				return out.String(), fmt.Errorf("%s: the shell has ended", command)
			}
			text, ended := strings.CutSuffix(line, endOfOutput+"\n")
			out.WriteString(text)
			if ended {
				return out.String(), nil
			}
		case <-limit:
			return out.String(), fmt.Errorf("%s: no end within %v", command, commandLimit)
		}
	}
}

// Try runs the step and compares its output. A command that only looks is tried
// again for a while: a reader is slower than a test.
func (s *Shell) Try(step Step, onlyLooks bool) error {
	for deadline := time.Now().Add(matchLimit); ; time.Sleep(50 * time.Millisecond) {
		got, err := s.Run(step.Command)
		if err != nil {
			return err
		}
		if err = step.Compare(got); err == nil {
			return nil
		}
		if !onlyLooks || time.Now().After(deadline) {
			return fmt.Errorf("line %d: %s: %w, in:\n%s", step.Line, step.Command, err, got)
		}
	}
}
