package process

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"usher/internal/file"
	"usher/signals"
)

// Stragglers returns the running processes that outlive the app. Where usher is
// PID 1, these are all other processes of the PID namespace. Elsewhere they are
// the descendants of usher. Those include processes that have made sessions of
// their own or were forked twice, since orphans become children of usher. The
// list is empty where there is no /proc, or where it is that of another PID
// namespace. The pid of usher is self.
func Stragglers(self int) []Proc { return look(self, nil) }

// look returns the stragglers. It takes some time to make the list, and a child
// of usher may fork and end meanwhile. Therefore look hands each such child to
// found, if that is not nil, as soon as it has read it.
func look(self int, found func(Proc)) []Proc {
	if !Own(self) {
		return nil
	}
	var adopted []string
	if found != nil { // the youngest come first; not every kernel has the file
		adopted = strings.Fields(file.Read("/proc/self/task/" + strconv.Itoa(self) + "/children"))
	}
	for _, child := range slices.Backward(adopted) {
		pid, _ := strconv.Atoi(child)
		if p, ok := Read(pid); ok && p.Running() {
			found(p)
		}
	}
	children := map[int][]Proc{}
	var all []Proc
	for _, pid := range PIDs() {
		if pid == self {
			continue
		}
		if p, ok := Read(pid); ok {
			children[p.Parent] = append(children[p.Parent], p)
			all = append(all, p)
		}
	}
	if self != 1 {
		all = nil
		for next := children[self]; len(next) > 0; next = next[1:] {
			all = append(all, next[0])
			next = append(next, children[next[0].PID]...)
		}
	}
	running := all[:0]
	for _, p := range all {
		if p.Running() {
			running = append(running, p)
		}
	}
	return running
}

// maxLooks bounds how often SignalStragglers looks for new processes, because
// some may go on forking for ever.
const maxLooks = 50

// SignalStragglers sends sig to all stragglers, and SIGCONT to the stopped ones,
// so that they can react. It returns the processes it has found. If usher is not
// PID 1 and there is no /proc, it signals the app's process group instead.
func SignalStragglers(self, group int, sig signals.Signal) (found []Proc) {
	if self == 1 {
		found = Stragglers(self) // before the signal, since what has been killed can't be listed
		_ = unix.Kill(-1, sig)   // all processes but PID 1, and none escapes by a fork (kill(2))
		if found == nil && !Own(self) {
			_ = unix.Kill(-1, unix.SIGCONT) // it is unknown which processes are stopped
		}
		for _, p := range found {
			send(p, unix.SIGCONT)
		}
		return found
	}
	// The app's own group is signalled as a whole, and no process in it escapes by
	// a fork. A process elsewhere may fork before it is signalled, and its child is
	// in no list yet. So the list is made again until nothing new is in it.
	signalled := map[int]string{} // the start time of the process that has the pid
	groupSignalled := false
	fruitless := 0
	signal := func(p Proc) {
		if signalled[p.PID] == p.Start {
			return
		}
		fruitless, signalled[p.PID] = 0, p.Start
		found = append(found, p)
		switch {
		case p.Group != group:
			send(p, sig)
		case !groupSignalled:
			groupSignalled = true
			_ = unix.Kill(-group, sig)
		}
		send(p, unix.SIGCONT)
	}
	for range maxLooks {
		if fruitless++; fruitless > 2 { // one look may miss the child of a parent that is about to end
			break
		}
		for _, p := range look(self, signal) {
			signal(p)
		}
	}
	if len(found) == 0 && group != 0 { // group is 0 if there has been no app; kill(2) would take it for usher's own
		_ = unix.Kill(-group, sig)
		_ = unix.Kill(-group, unix.SIGCONT)
	}
	return found
}

// send signals p, unless its pid belongs to another process by now: a pidfd
// refers to the process that it was opened for. SIGCONT is sent only to a stopped
// process, because a program may handle it.
func send(p Proc, sig signals.Signal) {
	fd, err := unix.PidfdOpen(p.PID, 0)
	if err == nil {
		defer unix.Close(fd)
	} else if err != unix.ENOSYS { // the process has ended; ENOSYS is a kernel before 5.3
		return
	}
	now, ok := Read(p.PID)
	switch {
	case !ok || now.Start != p.Start: // the name may differ, after an execve(2) of the same process
	case sig == unix.SIGCONT && now.State != 'T':
	case err != nil:
		_ = unix.Kill(p.PID, sig)
	default:
		_ = unix.PidfdSendSignal(fd, sig, nil, 0)
	}
}

// Names lists processes for a log line: the first few of them, and the number of
// the others.
func Names(procs []Proc) string {
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

// Alone reports whether no process but usher is left. The argument childless is
// what Reap has returned.
func Alone(self int, childless bool) bool {
	// In a container, processes started by `docker exec` are not children of usher.
	return childless && (self != 1 || unix.Kill(-1, 0) == unix.ESRCH)
}
