package process

import (
	"io"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A process may execute another program between the look and the signal, as a
// shell's child does. It gets the signal all the same.
func TestSendAfterExec(t *testing.T) {
	cmd := exec.Command("sh", "-c", "read line; exec sleep 1000")
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Process.Kill()
	found, ok := Read(cmd.Process.Pid)
	if !ok || found.Start == "" {
		t.Fatalf("%+v", found)
	}
	other := found
	other.Start += "0"
	send(other, unix.SIGKILL) // its number is this one's by now
	io.WriteString(stdin, "\n")
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		if now, _ := Read(found.PID); now.Name == "sleep" {
			break
		} else if time.Now().After(deadline) {
			t.Fatalf("%+v", now)
		}
	}
	send(found, unix.SIGTERM)
	ended := time.AfterFunc(10*time.Second, func() { cmd.Process.Kill() })
	defer ended.Stop()
	cmd.Wait()
	if status := cmd.ProcessState.Sys().(syscall.WaitStatus); status.Signal() != unix.SIGTERM {
		t.Errorf("it ended with %v", cmd.ProcessState)
	}
}
