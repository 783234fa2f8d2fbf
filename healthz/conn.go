package healthz

import (
	"runtime"
	"time"

	"golang.org/x/sys/unix"

	"usher/healthz/socket"
)

// conn is one connection. Its requests are read into the server's buffer. The
// answers to requests that came together are sent together.
type conn struct {
	s  *Server
	id int32 // index in s.conns
	fd int   // -1 after the end

	state    state
	since    time.Duration // beginning of the present wait; until the first answer, of the connection
	deadline time.Duration // end of the present wait
	events   uint32        // the poller waits for them
	watched  bool          // the poller knows the connection
	rights   bool          // the client can send descriptors: socket.ReceiveGuarded

	answered bool // at least one request was answered
	begun    bool // part of a request's head has come
	evicted  bool // the connection makes room: the next answer is the last
	last     bool // the last answer is in unsent, or sent
	linger   bool // the client may still be sending after the last answer

	unread    []byte // received but not answered: the beginning of a head, or more
	unsent    []byte // answers that the client has not taken
	scanned   int    // length of the beginning of unread that holds no end of a head
	blank     int    // empty lines before the request
	discarded int    // bytes read after the last answer
}

// state says what a connection waits for.
type state uint8

const (
	reading   state = iota // the next request
	writing                // the client to take its answers
	lingering              // the end of what the client sends, after the last answer
)

// maxOut is the length of answers, in bytes, after which they are sent before
// the next request is read.
const maxOut = 4096

// idle reports whether the client waits for no answer: the connection waits for
// the next request, or for its end.
func (c *conn) idle() bool {
	return c.state == lingering || c.state == reading && c.answered && !c.begun
}

// ready is called when there may be something to read, or room to write. A
// panic ends this connection only, because usher may be PID 1.
func (c *conn) ready() {
	defer func() {
		if v := recover(); v != nil {
			c.s.logf("health: panic: %v", v)
			if c.fd >= 0 {
				c.end()
			}
		}
	}()
	switch c.state {
	case reading:
		n := copy(c.s.in[:], c.unread)
		if m, ok := c.receive(c.s.in[n:]); m > 0 {
			c.serve(c.s.in[:n+m])
		} else if ok { // nothing has come
			c.watch(unix.EPOLLIN)
		}
	case writing:
		c.s.out = append(c.s.out[:0], c.unsent...)
		switch {
		case !c.flush():
		case c.last:
			c.finish()
		default:
			c.state = reading
			c.serve(c.s.in[:copy(c.s.in[:], c.unread)])
		}
	case lingering:
		if n, _ := c.receive(c.s.in[:]); n > 0 {
			if c.discarded += n; c.discarded > maxDiscard {
				c.end()
			}
		}
	}
}

// receive reads what the client has sent. If it returns false, the connection
// has ended.
func (c *conn) receive(b []byte) (n int, ok bool) {
	var err error
	if c.rights {
		n, err = socket.ReceiveGuarded(c.fd, b)
	} else {
		n, err = socket.Receive(c.fd, b)
	}
	if n > 0 || err == unix.EAGAIN {
		return n, true
	}
	c.end() // an error, or the client sends no more: everything that could be answered was
	return 0, false
}

// saveUnread copies unparsed bytes from the server's buffer into the
// connection.
func (c *conn) saveUnread(b []byte) {
	if len(b) == 0 {
		c.unread = nil
	} else {
		c.unread = append(c.unread[:0], b...)
	}
}

// wait waits for the client to send something, until the deadline of the
// connection's state.
func (c *conn) wait() {
	switch {
	case c.evicted:
		c.end()
		return
	case len(c.unread) > 0 && !c.begun: // one deadline for all of a head: single bytes do not extend it
		c.begun = true
		c.until(c.s.limits.request)
	case len(c.unread) == 0 && c.answered:
		c.until(c.s.limits.idle)
	}
	c.watch(unix.EPOLLIN)
}

// yield lets other connections have their turn before the rest of unread is
// answered: a client may send requests faster than they can be answered.
func (c *conn) yield() {
	c.state = writing
	c.until(c.s.limits.write)
	c.watch(unix.EPOLLOUT)
	runtime.Gosched()
}

// until begins a wait. The wait for the first answer begins only once.
func (c *conn) until(d time.Duration) {
	if c.deadline = c.s.now + d; c.answered {
		c.since = c.s.now
	}
}

// watch makes the poller wait for events, until the deadline.
func (c *conn) watch(events uint32) {
	c.s.wakeAt(c.deadline)
	if c.events == events {
		return
	}
	c.events = events
	if c.s.poll.Watch(c.fd, c.id, events, &c.watched) != nil { // the kernel lacks memory
		c.end()
	}
}

// flush sends the answers in s.out. It reports whether the kernel has taken all
// of them. If not, the connection waits for that, or has ended.
func (c *conn) flush() bool {
	for out := c.s.out; len(out) > 0; {
		n, err := socket.Send(c.fd, out)
		if out = out[n:]; err == unix.EAGAIN {
			if c.state != writing { // a client that takes single bytes does not extend the deadline
				c.until(c.s.limits.write)
			}
			c.state, c.unsent = writing, append(c.unsent[:0], out...)
			c.watch(unix.EPOLLOUT)
			return false
		} else if err != nil {
			c.end()
			return false
		}
	}
	c.s.out, c.unsent = c.s.out[:0], nil
	return true
}

// maxDiscard limits what is read from a client after the last answer, in bytes.
const maxDiscard = 256 << 10

// finish sends the last answer and ends the connection. If the client may still
// be sending, that is read for a moment: closing with unread bytes would reset
// the connection, and a reset can take the answer away from the client (RFC
// 9112 9.6).
func (c *conn) finish() {
	switch {
	case !c.flush():
	case !c.linger || c.evicted || socket.CloseWrite(c.fd) != nil:
		c.end()
	default:
		c.state = lingering
		c.saveUnread(nil)
		c.until(c.s.limits.linger)
		c.watch(unix.EPOLLIN)
	}
}

// expired is called when the connection has waited until its deadline. It first
// reads what has come by now, because usher itself may have been stopped for a
// while.
func (c *conn) expired() {
	if c.state == reading {
		if c.ready(); c.fd < 0 || c.deadline > c.s.now {
			return
		}
	}
	if c.state == reading && c.begun {
		c.s.out = c.s.out[:0]
		c.refuse(refusal{408, ""})
	} else {
		c.end()
	}
}

// evict ends the connection to make room. A request that has come already is
// still answered.
func (c *conn) evict() {
	if c.evicted = true; c.state == reading {
		c.ready()
	}
	if c.fd >= 0 {
		c.end()
	}
}

// end closes the connection.
func (c *conn) end() {
	s := c.s
	_ = s.poll.Watch(c.fd, c.id, 0, &c.watched)
	if !c.rights {
		unix.Close(c.fd)
	} else if !socket.CloseGuarded(c.fd) {
		s.park()
	}
	*c = conn{s: s, id: c.id, fd: -1}
	s.free = append(s.free, c)
	s.open.Add(-1)
	if s.full {
		s.unpause()
	}
}
