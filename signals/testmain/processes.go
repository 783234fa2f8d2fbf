package testmain

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// endSurvivors kills the remaining processes of the tests, and says which they
// were.
func endSurvivors() error {
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if !children() {
			return nil
		}
	}
	var names []string
	for _, pid := range Descendants(os.Getpid()) {
		names = append(names, fmt.Sprintf("%d: %s", pid, commandLine(pid)))
	}
	for deadline := time.Now().Add(patience); children(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			names = append(names, "(some of them could not be killed)")
			break
		}
		for _, pid := range Descendants(os.Getpid()) {
			_ = unix.Kill(pid, unix.SIGKILL)
		}
	}
	return fmt.Errorf("processes have outlived the tests and were killed:\n\t%s", strings.Join(names, "\n\t"))
}

// children reaps the children that have ended, and reports whether there are
// more.
func children() bool {
	for {
		switch pid, err := unix.Wait4(-1, nil, unix.WNOHANG, nil); {
		case err == unix.ECHILD:
			return false
		case err == nil && pid == 0:
			return true
		}
	}
}

// KillTree kills a process and all its descendants. The process has to be PID 1
// or a subreaper, so that its orphans remain its descendants. It is stopped
// first, so that it can start no more.
func KillTree(p *os.Process) {
	if p.Signal(unix.SIGSTOP) != nil {
		return
	}
	// All are stopped before one is killed. Otherwise the children of a process
	// that forks in between would get another parent, and would not be found. One
	// list without a running process is not enough: a child may be born after the
	// list was begun, and its parent may stop before the list gets to it.
	stopped := 0
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		running := 0
		for _, pid := range Descendants(p.Pid) {
			if state, _, ok := stat(pid); ok && state != 'T' && state != 'Z' && state != 'X' {
				_ = unix.Kill(pid, unix.SIGSTOP)
				running++
			}
		}
		if running > 0 {
			stopped = 0
		} else if stopped++; stopped == 2 {
			break
		}
	}
	for _, pid := range Descendants(p.Pid) {
		_ = unix.Kill(pid, unix.SIGKILL)
	}
	_ = p.Kill()
}

// Descendants lists the children of a process, their children, and so on.
func Descendants(pid int) []int {
	entries, _ := os.ReadDir("/proc")
	of := map[int][]int{}
	for _, entry := range entries {
		if n, err := strconv.Atoi(entry.Name()); err == nil {
			if _, parent, ok := stat(n); ok {
				of[parent] = append(of[parent], n)
			}
		}
	}
	all := slices.Clone(of[pid])
	for i := 0; i < len(all); i++ {
		all = append(all, of[all[i]]...)
	}
	return all
}

// stat returns the state and the parent of a process, from /proc/PID/stat.
func stat(pid int) (state byte, parent int, ok bool) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	// The name, in parentheses, may have spaces and parentheses of its own.
	fields := bytes.Fields(b[bytes.LastIndexByte(b, ')')+1:])
	if err != nil || len(fields) < 2 {
		return 0, 0, false
	}
	parent, err = strconv.Atoi(string(fields[1]))
	return fields[0][0], parent, err == nil
}

func commandLine(pid int) string {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if len(b) == 0 {
		b, _ = os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	}
	line := strings.Join(strings.FieldsFunc(string(b), func(r rune) bool { return r == 0 || r == '\n' }), " ")
	return line[:min(len(line), 200)]
}
