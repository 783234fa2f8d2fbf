package healthz

import (
	"bytes"
	"runtime"
	"time"

	"golang.org/x/sys/unix"

	"usher/healthz/socket"
)

// conn is one connection. Its requests are read into the server's buffer, and answers to those that came together leave together.
type conn struct {
	s  *Server
	id int32 // its place in s.conns
	fd int   // -1: it has ended

	state    state
	since    time.Duration // when the present wait began; until the first answer, when the connection did
	deadline time.Duration // when it ends
	events   uint32        // that the poller waits for
	watched  bool          // by the poller
	rights   bool          // the client can send descriptors: socket.ReceiveGuarded

	answered bool // at least one request was
	begun    bool // a request has, whose end has not come
	evicted  bool // it makes room: the next answer is the last
	last     bool // the last answer is given
	linger   bool // …and the client may be sending still

	unread    []byte // what has come but was not answered: the beginning of a head, or more
	unsent    []byte // answers that the client has not taken
	scanned   int    // how much of unread is known to hold no head's end
	blank     int    // empty lines before the request
	discarded int    // how much was read after the last answer
}

// state is what a connection waits for.
type state uint8

const (
	reading   state = iota // a request
	writing                // the client to take its answers
	lingering              // the client's end, after the last answer
)

// maxOut is how much of answers is gathered before it is written.
const maxOut = 4096

// idle reports whether nobody waits for anything but the next request, or the end.
func (c *conn) idle() bool {
	return c.state == lingering || c.state == reading && c.answered && !c.begun
}

// ready is called when there may be something to read, or room to write. A panic ends the connection, and nothing else: usher may be PID 1.
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
		} else if ok { // the wait goes on
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

// receive reads what the client has sent. It reports whether the connection is still there; if it is not, it has ended.
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
	c.end() // also at the end of what it sends: all that could be answered was
	return 0, false
}

// serve answers the requests in b, which is the server's buffer.
func (c *conn) serve(b []byte) {
	for c.s.out = c.s.out[:0]; ; {
		head, rest, no := c.next(b)
		var req request
		switch {
		case no.status == 0 && head == nil:
			c.keep(rest)
			if c.flush() {
				c.wait()
			}
			return
		case no.status == 0:
			req, no = parseRequest(head)
		}
		if no.status != 0 {
			c.refuse(no)
			return
		}
		if !c.answer(req) {
			c.last, c.linger = true, req.body || len(rest) > 0
			c.finish()
			return
		}
		if b = rest; len(c.s.out) >= maxOut {
			if c.keep(b); c.flush() {
				c.yield()
			}
			return
		}
	}
}

// maxBlank is how many empty lines may precede a request; some clients send one after a body.
const maxBlank = 4

// next cuts the head of the next request off b. It is nil where its end has not come yet, unless there is a refusal.
func (c *conn) next(b []byte) (head, rest []byte, no refusal) {
	for c.scanned == 0 && c.blank < maxBlank { // RFC 9112 2.2: empty lines before a request are to be ignored
		if !bytes.HasPrefix(b, []byte("\n")) && !bytes.HasPrefix(b, []byte("\r\n")) {
			break
		}
		_, b = cutLine(b)
		c.blank++
	}
	if n := headEnd(b, c.scanned); n >= 0 {
		c.scanned, c.blank, c.begun = 0, 0, false
		return b[:n:n], b[n:], refusal{}
	}
	if c.scanned = len(b); string(b) == "\r" {
		c.scanned = 0 // of an empty line, perhaps
	}
	switch {
	case len(b) > 0 && !isToken(b[0]) && string(b) != "\r":
		no = bad("not HTTP") // most often TLS; waiting for the end of such a head would end in 408
	case len(b) > maxTarget && bytes.IndexByte(b[:maxTarget+1], '\n') < 0:
		no = refusal{414, ""}
	case len(b) == maxHead:
		no = refusal{431, ""}
	}
	return nil, b, no
}

// keep keeps what is left in the server's buffer.
func (c *conn) keep(b []byte) {
	if len(b) == 0 {
		c.unread = nil
	} else {
		c.unread = append(c.unread[:0], b...)
	}
}

// wait waits for the client to send something, within the deadline of the state the connection is in.
func (c *conn) wait() {
	switch {
	case c.evicted:
		c.end()
		return
	case len(c.unread) > 0 && !c.begun: // one deadline for all of a head: it is not extended by a byte now and then
		c.begun = true
		c.until(c.s.limits.request)
	case len(c.unread) == 0 && c.answered:
		c.until(c.s.limits.idle)
	}
	c.watch(unix.EPOLLIN)
}

// yield goes on with what has come when the other connections have had their
// turn: a client may send requests faster than they can be answered.
func (c *conn) yield() {
	c.state = writing
	c.until(c.s.limits.write)
	c.watch(unix.EPOLLOUT)
	runtime.Gosched()
}

// until begins a wait. That for the first answer begins only once.
func (c *conn) until(d time.Duration) {
	if c.deadline = c.s.now + d; c.answered {
		c.since = c.s.now
	}
}

// watch has the poller wait for events, until the deadline.
func (c *conn) watch(events uint32) {
	c.s.wake(c.deadline)
	if c.events == events {
		return
	}
	c.events = events
	if c.s.poll.Watch(c.fd, c.id, events, &c.watched) != nil { // for want of memory
		c.end()
	}
}

// answer answers one request and reports whether the connection goes on.
func (c *conn) answer(req request) (more bool) {
	s := c.s
	whole := len(s.out)
	defer func() {
		if v := recover(); v != nil { // an endpoint's
			s.logf("health: panic while answering: %v", v)
			s.out = s.out[:whole]
			s.appendRefusal(refusal{500, ""})
			more = false
		}
	}()
	c.answered = true
	res := response{
		status: 200,
		head:   req.method == methodHead,
		allow:  req.options,
		http10: req.http10,
		// A body is not read: what would be taken for the next request could be part of it.
		close: !req.keep || req.body || c.evicted,
	}
	rt, name := s.route(req.path)
	var results []Result
	if rt != nil && req.method != methodOther && rt.page == nil {
		s.results = rt.endpoint(s.results[:0])
		if results = s.results; len(name) > 0 {
			results = only(results, name)
		}
	}
	switch {
	case rt == nil || len(name) > 0 && results == nil && req.method != methodOther:
		res.status = 404
	case req.method == methodOther:
		res.status, res.allow = 405, true
	case rt.page != nil:
		if res.kind = typePrometheus; req.openMetrics {
			res.kind = typeOpenMetrics
		}
		s.body = rt.page(s.body[:0], req.openMetrics)
	default:
		var ok bool
		if s.body, ok = appendAnswer(s.body[:0], rt.name, results, parseQuery(req.query)); !ok {
			res.status = 503
		}
	}
	switch res.status {
	case 404:
		s.body = appendRefusal(s.body[:0], refusal{404, paths})
	case 405:
		s.body = appendRefusal(s.body[:0], refusal{405, ""})
	}
	res.body = s.body
	s.out = res.appendTo(s.out, s.httpDate())
	return !res.close
}

// appendRefusal answers what no endpoint can.
func (s *Server) appendRefusal(no refusal) {
	s.body = appendRefusal(s.body[:0], no)
	s.out = response{status: no.status, body: s.body, allow: no.status == 405, close: true}.appendTo(s.out, s.httpDate())
}

// refuse ends the connection with a refusal.
func (c *conn) refuse(no refusal) {
	c.s.appendRefusal(no)
	c.last, c.linger = true, true
	c.finish()
}

// flush sends the answers gathered so far. It reports whether they have left; if not, the connection waits for that, or has ended.
func (c *conn) flush() bool {
	for out := c.s.out; len(out) > 0; {
		n, err := socket.Send(c.fd, out)
		if out = out[n:]; err == unix.EAGAIN {
			if c.state != writing { // a byte taken now and then does not extend it
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

// maxDiscard is how much of what a client still sends is read after the last answer, in bytes.
const maxDiscard = 256 << 10

// finish sends the last answer and ends the connection. If the client may be sending still, that is read for a moment: to close with something
// unread would be a reset, which can take the answer away from it (RFC 9112 9.6).
func (c *conn) finish() {
	switch {
	case !c.flush():
	case !c.linger || c.evicted || socket.CloseWrite(c.fd) != nil:
		c.end()
	default:
		c.state = lingering
		c.keep(nil)
		c.until(c.s.limits.linger)
		c.watch(unix.EPOLLIN)
	}
}

// expired is called when the connection has waited long enough. What has come by now counts: it may be usher that was stopped for a while.
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

// evict ends the connection to make room. A request that has come already is still answered.
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
