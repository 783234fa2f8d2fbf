package healthz

import (
	"bytes"
	"errors"
	"os"
	"sync"
	"time"

	"usher/healthz/socket"
)

// limits bound what clients can make the server hold. Tests lower them.
type limits struct {
	conns   int           // connections at a time
	first   time.Duration // from accept to a request's first byte
	idle    time.Duration // between an answer and the next request's first byte
	request time.Duration // from a request's first byte to the end of its head, then 408
	write   time.Duration // a client that does not read its answers
	linger  time.Duration // how long what a client still sends is read after the last answer
	settled time.Duration // a connection that has been waited for this long may be closed to make room
}

// A connection takes one goroutine and about 12 KB, so 512 of them take 6 MB; kubelet, a load balancer and Prometheus
// together hold a handful. idle is nginx's keepalive_timeout.
var defaultLimits = limits{
	conns:   512,
	first:   10 * time.Second,
	idle:    75 * time.Second,
	request: 5 * time.Second,
	write:   5 * time.Second,
	linger:  time.Second,
	settled: 500 * time.Millisecond,
}

// Server serves endpoints over HTTP/1.0 and 1.1: GET and HEAD, keep-alive, pipelining. It has no TLS, no HTTP/2, takes no
// bodies, and allocates nothing for a request. Whatever clients send or hold back, it holds at most limits.conns of them:
// when one more comes, the connection that has been idle longest goes.
type Server struct {
	routes []route
	logf   func(format string, args ...any)
	limits limits
	start  time.Time     // phases are measured from here
	slots  chan struct{} // holds one element a connection
	done   chan struct{} // closed by Close

	mu        sync.Mutex
	closed    bool
	listeners []listener
	conns     []*conn // conn.index says where
	free      []*conn // for reuse, at most maxFree: their buffers are the server's only large allocations
}

// listener is a *socket.Listener.
type listener interface {
	Accept() (*socket.Conn, error)
	Close() error
}

// maxFree bounds what is kept after a burst: 16 connections hold 150 KB.
const maxFree = 16

type route struct {
	name     string
	path     []byte
	endpoint Endpoint // or
	page     Page
}

// NewServer returns a server of the given endpoints. The map's keys are names without slash: "livez", "readyz", "healthz".
// logf, which may be nil, is told of what an operator has to know: no accepting, a panic. Never of what clients do.
func NewServer(endpoints map[string]Endpoint, logf func(format string, args ...any)) *Server {
	if logf == nil {
		logf = func(string, ...any) {}
	}
	s := &Server{logf: logf, start: time.Now(), done: make(chan struct{})}
	s.setLimits(defaultLimits)
	for name, endpoint := range endpoints {
		s.routes = append(s.routes, route{name: name, path: []byte("/" + name), endpoint: endpoint})
	}
	return s
}

// SetPage adds an endpoint that is a page. To be called before Serve.
func (s *Server) SetPage(name string, page Page) {
	s.routes = append(s.routes, route{name: name, path: []byte("/" + name), page: page})
}

func (s *Server) setLimits(l limits) {
	s.limits = l
	s.slots = make(chan struct{}, l.conns)
}

// route returns the endpoint of a path, or nil, and the name of the one check of it that /readyz/NAME asks for.
func (s *Server) route(path []byte) (rt *route, check []byte) {
	for i := range s.routes {
		if rest, ok := bytes.CutPrefix(path, s.routes[i].path); ok && (len(rest) == 0 || rest[0] == '/' && len(rest) > 1 && s.routes[i].page == nil) {
			return &s.routes[i], rest[min(1, len(rest)):]
		}
	}
	return nil, nil
}

// Back-off after an accept that failed for lack of something, usually descriptors.
const (
	minBackoff = 5 * time.Millisecond
	maxBackoff = time.Second
)

// Serve answers l's connections until Close is called, or l is closed by other means. It closes l. No error ends it: a
// server that gave up for a moment's lack of descriptors would have its container killed.
func (s *Server) Serve(l listener) {
	defer l.Close()
	if !s.addListener(l) {
		return
	}
	backoff := time.Duration(0)
	for {
		nc, err := l.Accept()
		if err != nil {
			if s.isClosed() || errors.Is(err, os.ErrClosed) {
				return
			}
			if backoff == 0 { // once an outage
				s.logf("health: cannot accept connections: %v; trying again", err)
			}
			backoff = min(max(2*backoff, minBackoff), maxBackoff)
			s.evict() // it holds a descriptor
			if !s.pause(backoff) {
				return
			}
			continue
		}
		backoff = 0
		if !s.acquire() {
			nc.Close()
			return
		}
		if c := s.add(nc); c != nil {
			go c.serve()
		} else {
			nc.Close()
			return
		}
	}
}

// Close closes listeners and connections and makes every Serve return. It waits for nothing and may be called again.
func (s *Server) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	s.closed = true
	close(s.done)
	for _, l := range s.listeners {
		l.Close()
	}
	for _, c := range s.conns {
		c.nc.Close()
	}
}

func (s *Server) isClosed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}

func (s *Server) addListener(l listener) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.listeners = append(s.listeners, l)
	}
	return !s.closed
}

// pause waits and reports whether the server is still open.
func (s *Server) pause(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-s.done:
		return false
	}
}

// acquire takes a slot for a connection, making room if there is none. It reports false once the server is closed.
func (s *Server) acquire() bool {
	for {
		select {
		case s.slots <- struct{}{}:
			return true
		default:
		}
		s.evict()
		t := time.NewTimer(s.limits.settled / 5) // then look again: others may have settled
		select {
		case s.slots <- struct{}{}:
			t.Stop()
			return true
		case <-s.done:
			t.Stop()
			return false
		case <-t.C:
		}
	}
}

// evict ends the connection that has been idle longest. Without an idle one, the one that has kept the server waiting
// longest, if it has for limits.settled: time enough for the first request of an honest client, and less than kubelet waits for an answer.
func (s *Server) evict() {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Since(s.start)
	var idle, slow *conn
	var idleSince, slowSince time.Duration
	for _, c := range s.conns {
		if c.evicted.Load() {
			continue
		}
		switch since := time.Duration(c.phase.Load()); {
		case since >= 0:
			if idle == nil || since < idleSince {
				idle, idleSince = c, since
			}
		case now+since >= s.limits.settled:
			if slow == nil || -since < slowSince {
				slow, slowSince = c, -since
			}
		}
	}
	if idle != nil {
		idle.evicted.Store(true)
		idle.nc.SetReadDeadline(time.Unix(1, 0)) // an answer that it has just begun is still written
	} else if slow != nil {
		slow.evicted.Store(true)
		slow.nc.SetDeadline(time.Unix(1, 0))
	}
}

// add registers a connection that has a slot. It returns nil once the server is closed.
func (s *Server) add(nc stream) *conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	var c *conn
	if n := len(s.free); n > 0 {
		c, s.free = s.free[n-1], s.free[:n-1]
	} else {
		c = &conn{s: s}
	}
	c.reset(nc)
	c.index = len(s.conns)
	s.conns = append(s.conns, c)
	return c
}

// remove closes a connection and gives back its slot. c is not to be used after it.
func (s *Server) remove(c *conn) {
	c.nc.Close()
	s.mu.Lock()
	last := len(s.conns) - 1
	s.conns[c.index] = s.conns[last]
	s.conns[c.index].index = c.index
	s.conns[last] = nil
	s.conns = s.conns[:last]
	if last == 0 && cap(s.conns) > maxFree {
		s.conns = nil // a burst is over
	}
	if len(s.free) < maxFree {
		c.reset(nil)
		s.free = append(s.free, c)
	}
	s.mu.Unlock()
	<-s.slots
}
