package dockerfiles

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// podman runs a podman command. The limits are below what podman asks for by default, which not every machine grants its root.
func podman(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	cmd := exec.Command("podman", append([]string{"--cgroup-manager=cgroupfs", "--runtime=runc"}, args...)...)
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return strings.TrimSpace(out.String()), strings.TrimSpace(errOut.String()), cmd.ProcessState.ExitCode()
}

// rootfs is a directory with what is in an image.
func rootfs(t *testing.T, made func() (string, error)) string {
	t.Helper()
	dir := t.TempDir()
	archive := filepath.Join(dir, "image.tar")
	id, err := docker("create", image(t, made))
	if err == nil {
		_, err = docker("export", "-o", archive, id)
		docker("rm", id)
	}
	root := filepath.Join(dir, "root")
	if err == nil {
		err = os.Mkdir(root, 0o755)
	}
	if err == nil {
		err = command("tar", "-C", root, "-xf", archive)
	}
	if err != nil {
		t.Fatal(err)
	}
	return root
}

// TestPodmanInitPath: usher is what `podman run --init` runs where podman has been told so.
func TestPodmanInitPath(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("podman"); err != nil {
		need(t, missingError{"no Podman (Debian: apt-get install podman)"})
	}
	if os.Geteuid() != 0 {
		need(t, missingError{"Podman needs root here"})
	}
	root := rootfs(t, scratchImage)
	initPath := filepath.Join(root, "usher")
	run := func(flags []string, command ...string) (stdout, stderr string, code int) {
		t.Helper()
		args := append([]string{"run", "--network=none", "--ulimit=nofile=1024:1024", "--ulimit=nproc=4096:4096", "--init", "--init-path", initPath}, flags...)
		return podman(t, append(append(args, "--rootfs", root), command...)...)
	}
	for _, c := range []struct {
		flags, command []string
		code           int
		stderr         string
	}{
		{command: []string{"/app", "exit", "7"}, code: 7},
		{command: []string{"/app", "die", "9"}, code: 137},
		{flags: []string{"-e", "USHER_EXIT_CODE=7=3"}, command: []string{"/app", "exit", "7"}, code: 3},
		{command: []string{"/missing"}, code: 1, stderr: `usher: cannot start "/missing": no such file`}, // as catatonit has it
	} {
		out, errOut, code := run(append(c.flags, "--rm"), c.command...)
		if code != c.code || out != "" || errOut != c.stderr {
			t.Errorf("%q %q: exit code %d, want %d; stdout %q, stderr %q, want %q", c.flags, c.command, code, c.code, out, errOut, c.stderr)
		}
	}

	name := fmt.Sprintf("usher-test-%s-podman", thisRun)
	t.Cleanup(func() { podman(t, "rm", "-f", "-t", "0", name) })
	if _, errOut, code := run([]string{"-d", "--name", name}, "/app", "serve"); code != 0 {
		t.Fatal(errOut)
	}
	if out, _, _ := podman(t, "top", name, "pid", "args"); !strings.Contains(out, "/run/podman-init -- /app serve") {
		t.Errorf("podman top shows no init:\n%s", out)
	}
	if _, errOut, code := podman(t, "stop", "-t", "20", name); code != 0 || errOut != "" { // it says so where it has to kill
		t.Errorf("podman stop: exit code %d, %s", code, errOut)
	}
	if out, _, _ := podman(t, "inspect", "--format", "{{.State.ExitCode}}", name); out != "143" { // the app dies of SIGTERM
		t.Errorf("exit code %s", out)
	}
}
