// Package contexts makes contexts like those of the standard library, but only
// as far as usher needs them: they end by a call, with a parent, or at a time,
// and carry no values and no causes. So it is smaller.
package contexts

import (
	"context"
	"sync"
	"time"
)

// start is the beginning of the clock that deadlines use.
var start = time.Now()

// node is a context, and the contexts below it.
type node struct {
	done     chan struct{}
	deadline time.Duration // since start; 0 is none
	timeout  time.Duration // argument of WithTimeout

	mu       sync.Mutex
	err      error              // not nil once done is closed
	timer    *time.Timer        // cancels the node at deadline
	after    func()             // called when done is closed
	children map[*node]struct{} // canceled with this node
	parent   *node              // nil if another package has made the parent
}

func (n *node) Done() <-chan struct{}       { return n.done }
func (n *node) Value(any) any               { return nil } // usher's contexts carry no values
func (n *node) Deadline() (time.Time, bool) { return start.Add(n.deadline), n.deadline != 0 }

func (n *node) Err() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.err
}

// WithCancel is context.WithCancel, without the parent's values.
func WithCancel(parent context.Context) (context.Context, context.CancelFunc) {
	n := newNode(parent, nil)
	return n, func() { n.cancel(context.Canceled) }
}

// WithTimeout is context.WithTimeout, without the parent's values.
func WithTimeout(parent context.Context, timeout time.Duration) (context.Context, context.CancelFunc) {
	n := &node{done: make(chan struct{}), deadline: time.Since(start) + timeout, timeout: timeout}
	if at, limited := parent.Deadline(); limited {
		n.deadline = min(n.deadline, at.Sub(start))
	}
	n.join(parent)
	if left := n.deadline - time.Since(start); left <= 0 {
		n.cancel(context.DeadlineExceeded)
	} else {
		n.mu.Lock()
		if n.err == nil {
			n.timer = time.AfterFunc(left, func() { n.cancel(context.DeadlineExceeded) })
		}
		n.mu.Unlock()
	}
	return n, func() { n.cancel(context.Canceled) }
}

// Timeout returns the timeout that WithTimeout was called with to make ctx; 0
// for any other context.
func Timeout(ctx context.Context) time.Duration {
	if n, ok := ctx.(*node); ok {
		return n.timeout
	}
	return 0
}

// AfterFunc is context.AfterFunc.
func AfterFunc(parent context.Context, f func()) (stop func() bool) {
	n := newNode(parent, f)
	return func() bool {
		n.mu.Lock()
		stopped := n.after != nil
		n.after = nil
		n.mu.Unlock()
		n.cancel(context.Canceled)
		return stopped
	}
}

func newNode(parent context.Context, after func()) *node {
	n := &node{done: make(chan struct{}), after: after}
	if at, limited := parent.Deadline(); limited {
		n.deadline = at.Sub(start)
	}
	n.join(parent)
	return n
}

// join makes n end with parent.
func (n *node) join(parent context.Context) {
	if p, ok := parent.(*node); ok {
		n.parent = p
		p.mu.Lock()
		err := p.err
		if err == nil {
			if p.children == nil {
				p.children = map[*node]struct{}{}
			}
			p.children[n] = struct{}{}
		}
		p.mu.Unlock()
		if err != nil {
			n.cancel(err)
		}
	} else if parent.Err() != nil {
		n.cancel(parent.Err())
	} else if parent.Done() != nil {
		go func() {
			select {
			case <-parent.Done():
				n.cancel(parent.Err())
			case <-n.done:
			}
		}()
	}
}

// cancel closes done, of n and of all contexts below it, unless n has ended
// already.
func (n *node) cancel(err error) {
	n.mu.Lock()
	if n.err != nil {
		n.mu.Unlock()
		return
	}
	n.err = err
	close(n.done)
	after, children := n.after, n.children
	n.after, n.children = nil, nil
	if n.timer != nil {
		n.timer.Stop()
	}
	n.mu.Unlock()
	if after != nil {
		go after()
	}
	for child := range children {
		child.cancel(err)
	}
	if p := n.parent; p != nil {
		p.mu.Lock()
		delete(p.children, n)
		p.mu.Unlock()
	}
}
