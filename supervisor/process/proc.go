// Package process finds, signals and reaps the processes that usher is
// responsible for: its descendants, or, where usher is PID 1, all processes of
// the PID namespace.
package process

import (
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"usher/internal/file"
	"usher/signals/entry"
)

// Proc is a process as /proc/PID/stat describes it.
type Proc struct {
	PID, Parent int
	Group       int // the process group
	State       byte
	Name        string
	Start       string // start time in clock ticks since boot; PID and Start identify a process
	RSS         uint64 // resident memory in bytes, as precise as the kernel counts it
}

// Running reports whether the process is neither a zombie nor dead.
func (p Proc) Running() bool { return p.State != 'Z' && p.State != 'X' }

func (p Proc) String() string { return fmt.Sprintf("%s (pid %d)", p.Name, p.PID) }

// Read reads /proc/PID/stat. It returns false if there is no such process, or no
// /proc.
func Read(pid int) (Proc, bool) {
	path := "/proc/" + strconv.Itoa(pid) + "/stat"
	stat := file.Read(path)
	if stat == "" { // the process has ended, or is hidden (hidepid; proc(5))
		entry.Raise()
		stat = file.Read(path)
		entry.Restore()
	}
	return parse(stat)
}

// parse parses a line of proc_pid_stat(5). The name is in parentheses, and may
// contain parentheses itself.
func parse(stat string) (Proc, bool) {
	begin, end := strings.IndexByte(stat, '('), strings.LastIndexByte(stat, ')')
	if begin < 0 || end < begin {
		return Proc{}, false
	}
	pid, err := strconv.Atoi(strings.TrimSpace(stat[:begin]))
	fields := strings.Fields(stat[end+1:])
	if err != nil || len(fields) < 3 || len(fields[0]) != 1 {
		return Proc{}, false
	}
	group, _ := strconv.Atoi(fields[2])
	parent, err := strconv.Atoi(fields[1])
	p := Proc{PID: pid, Parent: parent, Group: group, State: fields[0][0], Name: stat[begin+1 : end]}
	if len(fields) > 21 {
		p.Start = fields[19]
		pages, _ := strconv.ParseUint(fields[21], 10, 64)
		p.RSS = pages * uint64(unix.Getpagesize())
	}
	return p, err == nil
}

// Own reports whether /proc belongs to the PID namespace of this process, whose
// pid is self. In the /proc of another namespace, pids mean other processes.
func Own(self int) bool {
	var b [16]byte
	n, _ := unix.Readlink("/proc/self", b[:])
	return n > 0 && string(b[:n]) == strconv.Itoa(self)
}

// PIDs returns the pids in /proc, or none where there is no /proc. It is used
// instead of os.File.Readdirnames, which makes usher larger.
func PIDs() (pids []int) {
	entry.Raise()
	defer entry.Restore()
	fd, err := unix.Open("/proc", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil
	}
	defer unix.Close(fd)
	for b := make([]byte, 8192); ; {
		n, err := unix.ReadDirent(fd, b)
		if n <= 0 && err != unix.EINTR {
			return pids
		}
		_, _, names := unix.ParseDirent(b[:max(n, 0)], -1, nil)
		for _, name := range names {
			if pid, err := strconv.Atoi(name); err == nil {
				pids = append(pids, pid)
			}
		}
	}
}

// Descends reports whether a process is a descendant of this one, whose pid is
// self. It is not ok if the process, or one between the two, has ended.
func Descends(self, pid int) (ours, ok bool) {
	for p := pid; p != self; {
		found, ok := Read(p)
		if !ok || found.Group < 0 { // reaped while it was read: its parent is 0 as well
			return false, false
		}
		if p = found.Parent; p == 0 {
			return false, true // came in from outside: docker exec
		}
	}
	return pid != self, true
}
