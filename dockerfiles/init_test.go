package dockerfiles

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestInitPath: usher is what `docker run --init` runs where dockerd has been told so. That takes a dockerd of its own, which shares
// nothing with the one that the other tests use.
func TestInitPath(t *testing.T) {
	tag := image(t, scratchImage)
	socket, initPath := engineWithInit(t)
	on := func(args ...string) (stdout, stderr string, code int) {
		t.Helper()
		stdout, stderr, code, err := dockerCode(append([]string{"-H", socket}, args...)...)
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(stdout), strings.TrimSpace(stderr), code
	}
	archive := filepath.Join(t.TempDir(), "image.tar")
	if _, err := docker("save", "-o", archive, tag); err != nil {
		t.Fatal(err)
	}
	if out, errOut, code := on("load", "-i", archive); code != 0 {
		t.Fatalf("docker load: %s%s", out, errOut)
	}

	if out, _, _ := on("info", "--format", "{{.InitBinary}}"); out != initPath {
		t.Fatalf("the engine's init is %q, want %q", out, initPath)
	}
	const ofInit = `{{range .Server.Components}}{{if eq .Name "docker-init"}}{{.Version}}{{end}}{{end}}`
	if out, _, _ := on("version", "--format", ofInit); !strings.HasPrefix(out, "0.19.0 (usher ") {
		t.Errorf("docker version shows the init as %q", out)
	}

	run := []string{"run", "--init", "--entrypoint", "/app"}
	for _, c := range []struct {
		flags, command []string
		code           int
		stderr         bool
	}{
		{command: []string{"exit", "7"}, code: 7},
		{command: []string{"die", "9"}, code: 137},
		{flags: []string{"-e", "USHER_EXIT_CODE=7=3"}, command: []string{"exit", "7"}, code: 3},
	} {
		args := append(append(append(append([]string{}, run...), "--rm"), c.flags...), tag)
		out, errOut, code := on(append(args, c.command...)...)
		if code != c.code || out != "" || errOut != "" {
			t.Errorf("%q %q: exit code %d, want %d; stdout %q, stderr %q", c.flags, c.command, code, c.code, out, errOut)
		}
	}

	id, errOut, code := on(append(append([]string{}, run...), "-d", tag, "serve")...)
	if code != 0 {
		t.Fatal(errOut)
	}
	if out, _, _ := on("top", id, "-o", "pid,args"); !strings.Contains(out, "/sbin/docker-init -- /app serve") {
		t.Errorf("docker top shows no docker-init:\n%s", out)
	}
	begin := time.Now()
	on("stop", "-t", "20", id)
	if took := time.Since(begin); took > 15*time.Second {
		t.Errorf("docker stop took %v: the engine killed the container", took)
	}
	on("rm", "-f", "-v", id)
}

// engineWithInit starts a dockerd whose docker-init is usher, and returns its socket and the path it was given.
func engineWithInit(t *testing.T) (socket, initPath string) {
	t.Helper()
	dockerd, err := exec.LookPath("dockerd")
	if err != nil {
		need(t, missingError{"no dockerd to start with --init-path"})
	}
	if os.Geteuid() != 0 {
		need(t, missingError{"dockerd needs root"})
	}
	dir, err := os.MkdirTemp("", "usher-engine-") // a short path: a socket's has 108 bytes (unix(7))
	if err != nil {
		t.Fatal(err)
	}
	initPath = filepath.Join(dir, "docker-init")
	if err := command("make", "-C", "..", "build", "GOARCH=amd64", "OUT="+initPath); err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(dir, "daemon.json") // not the machine's
	if err := os.WriteFile(config, []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	socket = "unix://" + filepath.Join(dir, "socket")
	var log bytes.Buffer
	cmd := exec.Command(dockerd, "--init-path", initPath, "-H", socket, "--config-file", config, "--data-root", filepath.Join(dir, "data"),
		"--exec-root", filepath.Join(dir, "exec"), "--pidfile", filepath.Join(dir, "pid"), "--bridge", "none", "--iptables=false", "--ip6tables=false")
	cmd.Stdout, cmd.Stderr = &log, &log
	// In a network namespace of its own: a dockerd with --bridge none deletes docker0, also another dockerd's.
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) // it takes its containerd along
		select {
		case <-ended:
		case <-time.After(30 * time.Second):
			_ = cmd.Process.Kill()
			<-ended
		}
		if t.Failed() {
			t.Logf("the end of dockerd's log:\n%s", log.Bytes()[max(0, log.Len()-4000):])
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Logf("cannot clear away: %v", err)
		}
	})
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(100 * time.Millisecond) {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		err := exec.CommandContext(ctx, "docker", "-H", socket, "version").Run()
		cancel()
		if err == nil {
			return socket, initPath
		}
		select {
		case err := <-ended:
			ended <- err
			need(t, missingError{fmt.Sprintf("a second dockerd does not run here: %v\n%s", err, &log)})
		default:
		}
		if time.Now().After(deadline) {
			t.Fatalf("a second dockerd does not answer: %v", err)
		}
	}
}
