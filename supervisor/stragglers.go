package supervisor

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"usher/internal/file"
	"usher/signals"
	"usher/signals/entry"
	"usher/supervisor/lifecycle"
)

// What outlives the app: everything else in the PID namespace where usher is PID 1, and usher's descendants where it is not, those too
// that have made sessions of their own or were forked twice, since orphans become usher's children.

// proc is a process as /proc/PID/stat has it.
type proc struct {
	pid, parent int
	group       int // the process group
	state       byte
	name        string
	start       string // when it was, in clock ticks since the machine's: with pid, it is no other process's
	rss         uint64 // resident memory in bytes, as far as the kernel keeps count of it
}

// running is whether it is no zombie.
func (p proc) running() bool { return p.state != 'Z' && p.state != 'X' }

func (p proc) String() string { return fmt.Sprintf("%s (pid %d)", p.name, p.pid) }

// readProc reads /proc/pid/stat; false if there is no such process, or no /proc.
func readProc(pid int) (proc, bool) {
	path := "/proc/" + strconv.Itoa(pid) + "/stat"
	stat := file.Read(path)
	if stat == "" { // it is gone, or hidden (hidepid; proc(5))
		entry.Raise()
		stat = file.Read(path)
		entry.Restore()
	}
	return parseProc(stat)
}

// parseProc parses a line of proc_pid_stat(5). The name is in parentheses, and may have any in it.
func parseProc(stat string) (proc, bool) {
	begin, end := strings.IndexByte(stat, '('), strings.LastIndexByte(stat, ')')
	if begin < 0 || end < begin {
		return proc{}, false
	}
	pid, err := strconv.Atoi(strings.TrimSpace(stat[:begin]))
	fields := strings.Fields(stat[end+1:])
	if err != nil || len(fields) < 3 || len(fields[0]) != 1 {
		return proc{}, false
	}
	group, _ := strconv.Atoi(fields[2])
	parent, err := strconv.Atoi(fields[1])
	p := proc{pid: pid, parent: parent, group: group, state: fields[0][0], name: stat[begin+1 : end]}
	if len(fields) > 21 {
		p.start = fields[19]
		pages, _ := strconv.ParseUint(fields[21], 10, 64)
		p.rss = pages * uint64(unix.Getpagesize())
	}
	return p, err == nil
}

// ownProc reports whether /proc is that of this PID namespace: in another's, numbers mean others.
func ownProc(self int) bool {
	var b [16]byte
	n, _ := unix.Readlink("/proc/self", b[:])
	return n > 0 && string(b[:n]) == strconv.Itoa(self)
}

// stragglers lists what still runs. It is empty where there is no /proc, or another PID namespace's.
func stragglers(self int) []proc { return look(self, nil) }

// look does so, and hands each child of usher's to found, if that is not nil, at once: the list takes its time, in which a child may fork and end.
func look(self int, found func(proc)) []proc {
	if !ownProc(self) {
		return nil
	}
	var adopted []string
	if found != nil { // the youngest first; not every kernel has the file
		adopted = strings.Fields(file.Read("/proc/self/task/" + strconv.Itoa(self) + "/children"))
	}
	for _, child := range slices.Backward(adopted) {
		pid, _ := strconv.Atoi(child)
		if p, ok := readProc(pid); ok && p.running() {
			found(p)
		}
	}
	children := map[int][]proc{}
	var all []proc
	for _, name := range listProc() {
		pid, err := strconv.Atoi(name)
		if err != nil || pid == self {
			continue
		}
		if p, ok := readProc(pid); ok {
			children[p.parent] = append(children[p.parent], p)
			all = append(all, p)
		}
	}
	if self != 1 {
		all = nil
		for next := children[self]; len(next) > 0; next = next[1:] {
			all = append(all, next[0])
			next = append(next, children[next[0].pid]...)
		}
	}
	running := all[:0]
	for _, p := range all {
		if p.running() {
			running = append(running, p)
		}
	}
	return running
}

// maxLooks bounds how often signalStragglers looks for processes that are new: some could go on forking for ever.
const maxLooks = 50

// signalStragglers sends sig to everything that outlives the app, and SIGCONT to what of that is stopped, so that it takes notice; group is the
// app's process group, for want of anything better where usher is not PID 1 and there is no /proc. It returns what it has found.
func signalStragglers(self, group int, sig signals.Signal) (found []proc) {
	if self == 1 {
		found = stragglers(self) // what is killed can't be listed
		_ = unix.Kill(-1, sig)   // everybody but PID 1, and nobody escapes by a fork (kill(2))
		if found == nil && !ownProc(self) {
			_ = unix.Kill(-1, unix.SIGCONT) // nobody knows who is stopped
		}
		for _, p := range found {
			signalProc(p, unix.SIGCONT)
		}
		return found
	}
	// The app's own group is told as a whole, and nobody in it escapes by a fork. Elsewhere, what forks before it is told has a child that is in
	// no list yet.
	told := map[int]string{} // when the process with that number was started
	grouped := false
	fruitless := 0
	tell := func(p proc) {
		if told[p.pid] == p.start {
			return
		}
		fruitless, told[p.pid] = 0, p.start
		found = append(found, p)
		switch {
		case p.group != group:
			signalProc(p, sig)
		case !grouped:
			grouped = true
			_ = unix.Kill(-group, sig)
		}
		signalProc(p, unix.SIGCONT)
	}
	for range maxLooks {
		if fruitless++; fruitless > 2 { // one may have fallen between a parent's end and its child
			break
		}
		for _, p := range look(self, tell) {
			tell(p)
		}
	}
	if len(found) == 0 && group != 0 { // 0: there has been no app, and 0 would be usher's own group
		_ = unix.Kill(-group, sig)
		_ = unix.Kill(-group, unix.SIGCONT)
	}
	return found
}

// signalProc signals p, unless its number is another process's by now: a pidfd stays with the process it was opened for. SIGCONT it gets only if it
// is stopped: a program that handles it is to see it only then.
func signalProc(p proc, sig signals.Signal) {
	fd, err := unix.PidfdOpen(p.pid, 0)
	if err == nil {
		defer unix.Close(fd)
	} else if err != unix.ENOSYS { // gone; the other is a kernel before 5.3
		return
	}
	now, ok := readProc(p.pid)
	switch {
	case !ok || now.start != p.start: // its name may have changed: a shell's child becomes a program
	case sig == unix.SIGCONT && now.state != 'T':
	case err != nil:
		_ = unix.Kill(p.pid, sig)
	default:
		_ = unix.PidfdSendSignal(fd, sig, nil, 0)
	}
}

// strangers are procs without usher's commands, which have been killed by then.
func (s *Supervisor) strangers(procs []proc) []proc {
	kept := procs[:0]
	for _, p := range procs {
		if s.commands[p.group] == nil {
			kept = append(kept, p)
		}
	}
	return kept
}

// names lists processes for people, the first few of them.
func names(procs []proc) string {
	const most = 5
	var list []string
	for _, p := range procs[:min(len(procs), most)] {
		list = append(list, p.String())
	}
	if n := len(procs) - most; n > 0 {
		list = append(list, fmt.Sprintf("and %d more", n))
	}
	return strings.Join(list, ", ")
}

// leaveBehind reports whether nothing is done about what outlives the app.
func (s *Supervisor) leaveBehind() bool {
	if !s.config.LeaveBehind || s.self == 1 || s.config.Restart != lifecycle.RestartNo {
		return false
	}
	if s.config.Session {
		_ = unix.Kill(-s.group, s.config.Rewrites.Apply(unix.SIGTERM))
	}
	return true
}

// alone is whether nothing but usher runs any more; childless is what reap has said.
func alone(self int, childless bool) bool {
	// In a container, `docker exec` brings in processes that are nobody's children here.
	return childless && (self != 1 || unix.Kill(-1, 0) == unix.ESRCH)
}
