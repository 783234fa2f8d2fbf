package supervisor

import (
	"io"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// What is told to go may have become another program since it was found, as a shell's child does, and is told all the same.
func TestSignalProcThatExecutes(t *testing.T) {
	cmd := exec.Command("sh", "-c", "read line; exec sleep 1000")
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Process.Kill()
	found, ok := readProc(cmd.Process.Pid)
	if !ok || found.start == "" {
		t.Fatalf("%+v", found)
	}
	other := found
	other.start += "0"
	signalProc(other, unix.SIGKILL) // its number is this one's by now
	io.WriteString(stdin, "\n")
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		if now, _ := readProc(found.pid); now.name == "sleep" {
			break
		} else if time.Now().After(deadline) {
			t.Fatalf("%+v", now)
		}
	}
	signalProc(found, unix.SIGTERM)
	ended := time.AfterFunc(10*time.Second, func() { cmd.Process.Kill() })
	defer ended.Stop()
	cmd.Wait()
	if status := cmd.ProcessState.Sys().(syscall.WaitStatus); status.Signal() != unix.SIGTERM {
		t.Errorf("it ended with %v", cmd.ProcessState)
	}
}
