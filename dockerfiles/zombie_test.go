package dockerfiles

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// children are the states (`R`, `S`, `Z`…) of a process's children, as the host sees them: this works for every image, and
// for usher's pid as for PID 1.
func children(t *testing.T, pid int) (states []string) {
	t.Helper()
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range stats {
		stat, err := os.ReadFile(name)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
			continue // it has ended since
		}
		if err != nil {
			t.Fatal(err)
		}
		// pid (name) state ppid …, where the name may hold anything.
		fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
		if fields[1] == strconv.Itoa(pid) {
			states = append(states, fields[0])
		}
	}
	return states
}

// reaps has leave make n orphans of the container's, waits until all of them have become the main process's children, lets
// them end, and waits until none is left, not even as a zombie.
func (c *container) reaps(n int, leave func()) {
	c.t.Helper()
	pid, app := c.inspect().State.Pid, c.address(8080)
	leave()
	eventually(c.t, fmt.Sprintf("%d orphans and the app are the children of %d", n, pid), func() bool {
		return len(children(c.t, pid)) == n+1
	})
	eventually(c.t, "the app is the only child again", func() bool {
		request("POST", app, "/bell") // again and again: some may not have listened yet
		return len(children(c.t, pid)) == 1
	})
}

// TestExecOrphans: what a `docker exec` session leaves behind falls to PID 1, and is reaped.
func TestExecOrphans(t *testing.T) {
	t.Parallel()
	c := serving(t, nil)
	for _, n := range []int{1, 200} {
		c.reaps(n, func() { c.docker("exec", c.name, "/app", "orphans", fmt.Sprint(n)) })
	}
	c.stop()
	c.wantExit(143)
}

// TestExecOrphansControl: without usher they stay, as zombies, until the container ends.
func TestExecOrphansControl(t *testing.T) {
	t.Parallel()
	c := start(t, spec{scratchImage, []string{"--entrypoint=/app"}, []string{"serve"}})
	app := c.address(8080)
	wantStatus(t, app, "/", 200)
	c.docker("exec", c.name, "/app", "orphans", "5")
	eventually(t, "five zombies are there", func() bool {
		request("POST", app, "/bell")
		return strings.Count(strings.Join(children(t, c.inspect().State.Pid), ""), "Z") == 5
	})
}
