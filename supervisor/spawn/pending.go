package spawn

import "slices"

// Pending is a list of children that have not executed their programs yet.
//
// The execve(2) of a child may take as long as a file system likes: the server
// of a network file system may be down, or an image may be pulled as it is
// read. Until execve returns, the child is treated as any other: it is reaped,
// and it can be killed. The loop goes on. A pipe that execve closes tells the
// loop of the return.
type Pending struct{ list []*Starting }

// Add waits a moment for the child. It reports whether the child has executed
// its program, or has failed to and is reaped. If neither, Add puts the child
// in the list. SIGCHLD tells this process, whose pid is self, when to call
// Check.
func (p *Pending) Add(l *Starting, self int) (started bool) {
	if l.WaitAndReap(Patience) || l.notify(self) {
		return true
	}
	p.list = append(p.list, l)
	return false
}

// Check removes the children that have executed their programs, or have failed
// to.
func (p *Pending) Check() {
	p.list = slices.DeleteFunc(p.list, func(l *Starting) bool { return l.Wait(0) })
}

// Polled reports whether there is a child for which no SIGCHLD will come, so that
// the caller has to call Check from time to time.
func (p *Pending) Polled() bool {
	for _, l := range p.list {
		if l.polled {
			return true
		}
	}
	return false
}
