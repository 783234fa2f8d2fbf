package healthz

import "bytes"

// serve answers the requests in b, which is part of the server's buffer.
func (c *conn) serve(b []byte) {
	for c.s.out = c.s.out[:0]; ; {
		head, rest, refused := c.next(b)
		var req request
		switch {
		case refused.status == 0 && head == nil:
			c.saveUnread(rest)
			if c.flush() {
				c.wait()
			}
			return
		case refused.status == 0:
			req, refused = parseRequest(head)
		}
		if refused.status != 0 {
			c.refuse(refused)
			return
		}
		if !c.answer(req) {
			c.last, c.linger = true, req.body || len(rest) > 0
			c.finish()
			return
		}
		if b = rest; len(c.s.out) >= maxOut {
			if c.saveUnread(b); c.flush() {
				c.yield()
			}
			return
		}
	}
}

// maxBlank limits the empty lines before a request. Some clients send one after
// a body.
const maxBlank = 4

// next cuts the head of the next request off b. If the end of the head has not
// come yet, head is nil, unless there is a refusal.
func (c *conn) next(b []byte) (head, rest []byte, refused refusal) {
	for c.scanned == 0 && c.blank < maxBlank { // RFC 9112 2.2: ignore empty lines before a request
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
		c.scanned = 0 // it may begin an empty line
	}
	switch {
	case len(b) > 0 && !isToken(b[0]) && string(b) != "\r":
		refused = bad("not HTTP") // most often TLS; waiting for the end of such a head would end in 408
	case len(b) > maxTarget && bytes.IndexByte(b[:maxTarget+1], '\n') < 0:
		refused = refusal{414, ""}
	case len(b) == maxHead:
		refused = refusal{431, ""}
	}
	return nil, b, refused
}

// answer answers one request and reports whether the connection goes on.
func (c *conn) answer(req request) (more bool) {
	s := c.s
	before := len(s.out)
	defer func() {
		if v := recover(); v != nil { // in an endpoint
			s.logf("health: panic while answering: %v", v)
			s.out = s.out[:before]
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
		// A body is not read: part of it could be taken for the next request.
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
		wants := Wants{OpenMetrics: req.openMetrics, JSON: parseQuery(req.query).json}
		s.body, res.kind = rt.page(s.body[:0], wants)
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

// appendRefusal appends the answer to a request that no endpoint answers.
func (s *Server) appendRefusal(refused refusal) {
	s.body = appendRefusal(s.body[:0], refused)
	res := response{status: refused.status, body: s.body, allow: refused.status == 405, close: true}
	s.out = res.appendTo(s.out, s.httpDate())
}

// refuse ends the connection with a refusal.
func (c *conn) refuse(refused refusal) {
	c.s.appendRefusal(refused)
	c.last, c.linger = true, true
	c.finish()
}
