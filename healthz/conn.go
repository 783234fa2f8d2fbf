package healthz

import (
	"bytes"
	"errors"
	"io"
	"os"
	"sync/atomic"
	"time"
)

// conn is one connection, served by one goroutine. Requests are read into a fixed buffer; answers to those that came
// together leave together.
type conn struct {
	s     *Server
	nc    stream
	index int // in s.conns, under s.mu

	// phase is how long after s.start the present wait began: of an idle connection as it is, of one with a request or an
	// answer under way negative.
	phase   atomic.Int64
	evicted atomic.Bool // make room: end at the next wait
	looked  bool        // …after one last look

	now       time.Time // of the last read
	readArmed time.Time // when the idle deadline was last set; zero: another one is
	sentArmed time.Time // when the write deadline was last set
	begun     bool      // the deadline of an unfinished request is set
	answered  bool      // at least one request was

	r, w int    // buf[r:w] is unread
	out  []byte // answers not yet written
	body []byte // scratch
	buf  [maxHead]byte
}

// stream is a *socket.Conn.
type stream interface {
	io.ReadWriteCloser
	SetDeadline(time.Time) error
	SetReadDeadline(time.Time) error
	SetWriteDeadline(time.Time) error
}

// maxOut is how much of answers is gathered before it is written, and how much of their buffers outlives a connection.
const maxOut = 4096

// armSlack: a deadline is set anew only when an eighth of it has passed. That is cheaper than a timer change a request.
const armSlack = 8

var errEvicted = errors.New("evicted")

func (c *conn) reset(nc stream) {
	out, body := c.out[:0], c.body[:0]
	if cap(out) > 2*maxOut {
		out = nil
	}
	if cap(body) > maxOut {
		body = nil
	}
	c.nc, c.now, c.readArmed, c.sentArmed = nc, time.Now(), time.Time{}, time.Time{}
	c.begun, c.answered, c.looked, c.r, c.w, c.out, c.body = false, false, false, 0, 0, out, body
	c.evicted.Store(false)
	c.waiting(false)
}

// waiting notes when the present phase began.
func (c *conn) waiting(idle bool) {
	since := max(int64(c.now.Sub(c.s.start)), 1)
	if !idle {
		since = -since
	}
	c.phase.Store(since)
}

// serve answers requests until either side has enough.
func (c *conn) serve() {
	defer c.s.remove(c)
	defer func() {
		if v := recover(); v != nil { // an endpoint's: c.out holds whole answers only
			c.s.logf("health: panic while answering: %v", v)
			c.refuse(refusal{500, ""})
			c.flush()
		}
	}()
	for {
		head, no, err := c.next()
		if err != nil {
			return
		}
		var req request
		if no.status == 0 {
			req, no = parseRequest(head)
		}
		if no.status != 0 {
			c.refuse(no)
			c.discard()
			return
		}
		if c.answer(req) {
			continue
		}
		if req.body || c.r < c.w {
			c.discard()
		} else {
			c.flush()
		}
		return
	}
}

// next returns the head of the next request, or why there is none: a refusal, or an error that needs no answer.
func (c *conn) next() (head []byte, no refusal, err error) {
	scanned, blank := 0, 0
	for {
		b := c.buf[c.r:c.w]
		for scanned == 0 && blank < maxBlank { // RFC 9112 2.2: empty lines before a request are to be ignored
			if !bytes.HasPrefix(b, []byte("\n")) && !bytes.HasPrefix(b, []byte("\r\n")) {
				break
			}
			_, b = cutLine(b)
			blank++
			c.r = c.w - len(b)
		}
		if n := headEnd(b, scanned); n >= 0 {
			c.r += n
			if c.begun {
				c.begun, c.readArmed = false, time.Time{}
			}
			return b[:n:n], refusal{}, nil
		}
		scanned = len(b)
		switch {
		case scanned > 0 && !isToken(b[0]) && string(b) != "\r":
			return nil, bad("not HTTP"), nil // most often TLS; waiting for the end of such a head would end in 408
		case scanned > maxTarget && bytes.IndexByte(b[:maxTarget+1], '\n') < 0:
			return nil, refusal{414, ""}, nil
		case scanned == maxHead:
			return nil, refusal{431, ""}, nil
		}
		if no, err := c.fill(); no.status != 0 || err != nil {
			return nil, no, err
		}
	}
}

// maxBlank is how many empty lines may precede a request; some clients send one after a body.
const maxBlank = 4

// fill writes what is due and reads more of the client's, within the deadline of the state the connection is in.
func (c *conn) fill() (refusal, error) {
	if err := c.flush(); err != nil {
		return refusal{}, err
	}
	c.w = copy(c.buf[:], c.buf[c.r:c.w])
	c.r = 0
	switch {
	case c.w > 0 && !c.begun: // one deadline for all of a head: it is not extended by a byte now and then
		c.begun = true
		c.nc.SetReadDeadline(c.now.Add(c.s.limits.request))
	case c.w > 0:
	case c.answered:
		c.arm(c.s.limits.idle)
		c.waiting(true)
	default:
		c.arm(c.s.limits.first)
	}
	n, err := 0, errEvicted
	if !c.evicted.Load() { // asked after the deadline is set: whoever sets evicted then sets one that has passed
		n, err = c.nc.Read(c.buf[c.w:])
	}
	if n == 0 && c.evicted.Load() && !c.looked { // a request that has come already is still answered
		c.looked = true
		c.nc.SetReadDeadline(time.Now().Add(time.Millisecond))
		n, err = c.nc.Read(c.buf[c.w:])
	}
	c.w += n
	c.now = time.Now()
	c.waiting(false)
	switch {
	case n > 0:
		return refusal{}, nil
	case c.w > 0 && errors.Is(err, os.ErrDeadlineExceeded) && !c.evicted.Load():
		return refusal{408, ""}, nil
	case err == nil:
		err = io.ErrNoProgress
	}
	return refusal{}, err
}

func (c *conn) arm(d time.Duration) {
	if c.readArmed.IsZero() || c.now.Sub(c.readArmed) > d/armSlack {
		c.readArmed = c.now
		c.nc.SetReadDeadline(c.now.Add(d))
	}
}

// answer answers one request and reports whether the connection goes on.
func (c *conn) answer(req request) (more bool) {
	if !c.answered {
		c.answered, c.readArmed = true, time.Time{} // from limits.first to limits.idle
	}
	res := response{
		status: 200,
		head:   req.method == methodHead,
		http10: req.http10,
		// A body is not read: what would be taken for the next request could be part of it.
		close: !req.keep || req.body || c.evicted.Load(),
	}
	rt, name := c.s.route(req.path)
	var results []Result
	if rt != nil && req.method != methodOther && rt.page == nil {
		results = rt.endpoint()
		if len(name) > 0 {
			results = only(results, name)
		}
	}
	switch {
	case rt == nil || len(name) > 0 && results == nil && req.method != methodOther:
		res.status = 404
	case req.method == methodOther:
		res.status = 405
	case rt.page != nil:
		if res.kind = typePrometheus; req.openMetrics {
			res.kind = typeOpenMetrics
		}
		c.body = rt.page(c.body[:0], req.openMetrics)
	default:
		var ok bool
		if c.body, ok = appendAnswer(c.body[:0], rt.name, results, parseQuery(req.query)); !ok {
			res.status = 503
		}
	}
	if res.status >= 400 && res.status < 500 {
		c.body = appendRefusal(c.body[:0], refusal{status: res.status})
	}
	res.body = c.body
	c.out = res.appendTo(c.out, c.now)
	if len(c.out) >= maxOut && c.flush() != nil {
		return false
	}
	return !res.close
}

// refuse answers what no endpoint can, and with it the last of the connection.
func (c *conn) refuse(no refusal) {
	c.body = appendRefusal(c.body[:0], no)
	c.out = response{status: no.status, body: c.body, close: true}.appendTo(c.out, c.now)
}

// flush writes the answers gathered so far.
func (c *conn) flush() error {
	if len(c.out) == 0 {
		return nil
	}
	if c.now.Sub(c.sentArmed) > c.s.limits.write/armSlack {
		c.sentArmed = c.now
		c.nc.SetWriteDeadline(c.now.Add(c.s.limits.write))
	}
	_, err := c.nc.Write(c.out)
	c.out = c.out[:0]
	return err
}

// maxDiscard is how much of what a client still sends is read after the last answer, in bytes.
const maxDiscard = 256 << 10

// discard writes the last answer and reads on for a moment: to close with something unread would be a reset, which can
// take the answer away from a client that is still sending (RFC 9112 9.6).
func (c *conn) discard() {
	if c.flush() != nil {
		return
	}
	half, ok := c.nc.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil {
		return
	}
	c.nc.SetReadDeadline(time.Now().Add(c.s.limits.linger))
	for n := 0; n < maxDiscard && !c.evicted.Load(); {
		m, err := c.nc.Read(c.buf[:])
		if err != nil {
			return
		}
		n += m
	}
}
