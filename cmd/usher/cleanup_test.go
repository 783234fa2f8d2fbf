package main_test

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// A test that failed must not leave busy loops behind for the tests after it. As long as usher runs, what the app started is among usher's
// descendants. Once usher has ended, it is known by the pipes that it got from usher.

// pipesOf returns the names of the pipes that are a process's stdout and stderr.
func pipesOf(pid int) map[string]bool {
	pipes := map[string]bool{}
	for _, fd := range []int{1, 2} {
		if name, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", pid, fd)); err == nil && strings.HasPrefix(name, "pipe:") {
			pipes[name] = true
		}
	}
	return pipes
}

// killWriters kills all processes with one of these pipes as stdout or stderr.
func killWriters(pipes map[string]bool) {
	entries, _ := os.ReadDir("/proc")
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		for pipe := range pipesOf(pid) {
			if pipes[pipe] {
				_ = unix.Kill(pid, unix.SIGKILL)
			}
		}
	}
}
