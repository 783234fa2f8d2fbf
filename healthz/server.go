package healthz

import (
	"bytes"
	"errors"
	"math"
	"net/netip"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"usher/healthz/socket"
)

// Server serves endpoints over HTTP/1.0 and 1.1: GET and HEAD, keep-alive, pipelining. It has no TLS, no HTTP/2, takes no
// bodies, and allocates nothing for a request. Whatever clients send or hold back, it holds at most limits.conns of them:
// when one more comes, the connection that has been idle longest goes.
//
// One goroutine serves all of them, and never waits for one: what a client has not sent yet, or does not take, stays with its connection.
type Server struct {
	routes []route
	logf   func(format string, args ...any)
	limits limits
	poll   *socket.Poller
	open   atomic.Int32 // connections

	mu        sync.Mutex
	listeners []listener

	// What follows belongs to Serve.
	start   time.Time     // moments are measured from here
	at      time.Time     // when the present turn began
	now     time.Duration // …from start on
	due     time.Duration // the first deadline; never is none
	yielded time.Duration // when other goroutines had their turn
	conns   []*conn       // a connection is known by its place here
	free    []*conn       // those of them that have ended
	paused  bool          // no accepting until resume
	full    bool          // …or a connection ends
	resume  time.Duration
	backoff time.Duration // after the last accept, if that failed
	tell    time.Duration // when that may be logged again
	date    []byte        // for answers in the second dated
	dated   int64

	in      [maxHead]byte // what a connection has sent
	out     []byte        // answers to it
	body    []byte        // scratch
	results []Result      // scratch
}

// listener is a *Listener.
type listener interface {
	Accept() (fd int, err error)
	Close() error
	Watch(p *socket.Poller, id int32, wait bool) error
	Addr() netip.AddrPort
}

const never = time.Duration(math.MaxInt64)

type route struct {
	name     string
	path     []byte
	endpoint Endpoint // or
	page     Page
}

// NewServer returns a server of the given endpoints. The map's keys are names without slash: "livez", "readyz", "healthz".
// logf, which may be nil, is told of what an operator has to know: no accepting, a panic. Never of what clients do.
func NewServer(endpoints map[string]Endpoint, logf func(format string, args ...any)) (*Server, error) {
	if logf == nil {
		logf = func(string, ...any) {}
	}
	poll, err := socket.NewPoller()
	if err != nil {
		return nil, err
	}
	s := &Server{logf: logf, limits: defaultLimits, poll: poll, start: time.Now(), due: never}
	var noFile unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &noFile) == nil {
		s.limits = s.limits.fewer(noFile.Cur)
	}
	for name, endpoint := range endpoints {
		s.routes = append(s.routes, route{name: name, path: []byte("/" + name), endpoint: endpoint})
	}
	return s, nil
}

// SetPage adds an endpoint that is a page. To be called before Serve.
func (s *Server) SetPage(name string, page Page) {
	s.routes = append(s.routes, route{name: name, path: []byte("/" + name), page: page})
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
	tellEvery  = time.Minute
)

// maxAccept is how many connections are accepted in a turn, and maxTurns how long turns may follow each other before other goroutines
// have one.
const (
	maxAccept = 16
	maxTurns  = 500 * time.Microsecond
)

// Listen adds an address that Listen takes. To be called before Serve.
func (s *Server) Listen(addr string) error {
	l, err := Listen(addr)
	if err == nil {
		err = s.add(l)
	}
	return err
}

func (s *Server) add(l listener) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.listeners = append(s.listeners, l)
	return l.Watch(s.poll, id(len(s.listeners)-1), true)
}

// Ports are those that it listens on.
func (s *Server) Ports() (ports []uint16) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.listeners {
		ports = append(ports, l.Addr().Port())
	}
	return ports
}

// Serve answers connections until Close is called. No error ends it: a server that gave up for a moment's lack of descriptors would have
// its container killed. To be called once.
func (s *Server) Serve() {
	defer s.end()
	for {
		until := time.Time{}
		if s.due != never {
			until = s.start.Add(s.due)
		}
		events, err := s.poll.Wait(until)
		if errors.Is(err, os.ErrClosed) {
			return
		}
		s.tick()
		for _, e := range events {
			if e.Fd < 0 {
				s.accept(s.listeners[-1-e.Fd])
			} else if c := s.conns[e.Fd]; c.fd >= 0 { // or it has had to make room in this turn
				c.ready()
			}
		}
		if s.now >= s.due {
			s.sweep()
		}
		if s.now-s.yielded >= maxTurns {
			s.yielded = s.now
			runtime.Gosched()
		}
	}
}

// id is what the poller knows the listener at that place by.
func id(listener int) int32 { return -1 - int32(listener) }

// Close closes listeners and connections and makes Serve return. It waits for nothing and may be called again.
func (s *Server) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.poll.Close()
	for _, l := range s.listeners {
		l.Close()
	}
}

// end closes what there is when Serve returns.
func (s *Server) end() {
	s.Close()
	for _, c := range s.conns {
		if c.fd >= 0 {
			c.end()
		}
	}
}

// tick reads the clock.
func (s *Server) tick() {
	s.at = time.Now()
	s.now = s.at.Sub(s.start)
}

// wake has the connections' deadlines looked at then.
func (s *Server) wake(at time.Duration) { s.due = min(s.due, at) }

// sweep ends what has waited too long.
func (s *Server) sweep() {
	s.due = never
	if s.paused && s.now >= s.resume {
		s.unpause()
	} else if s.paused {
		s.wake(s.resume)
	}
	for _, c := range s.conns {
		if c.fd >= 0 && s.now >= c.deadline {
			c.expired()
		}
		if c.fd >= 0 {
			s.wake(c.deadline)
		}
	}
}

// accept takes a listener's new connections, and answers those that have asked already.
func (s *Server) accept(l listener) {
	for i := range maxAccept {
		if s.paused {
			return
		}
		if int(s.open.Load()) == s.limits.conns && (i > 0 || !s.evict()) { // later there may be nobody to make room for
			if i == 0 {
				s.pause(s.limits.settled / 5) // then look again: others may have settled
				s.full = true
			}
			return
		}
		fd, err := l.Accept()
		switch {
		case err == nil:
			s.backoff = 0
			s.take(fd).ready()
		case err == unix.EAGAIN || errors.Is(err, os.ErrClosed):
			return
		default:
			if s.backoff == 0 && s.now >= s.tell { // once an outage, and clients must not fill the log with short ones
				s.logf("health: cannot accept connections: %v; trying again", err)
				s.tell = s.now + tellEvery
			}
			if (errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE)) && s.evict() {
				continue // with its descriptor
			}
			s.backoff = min(max(2*s.backoff, minBackoff), maxBackoff)
			s.pause(s.backoff)
		}
	}
}

// pause stops accepting for a while.
func (s *Server) pause(d time.Duration) {
	s.paused, s.resume = true, s.now+d
	s.wake(s.resume)
	s.watchListeners()
}

func (s *Server) unpause() {
	s.paused, s.full = false, false
	s.watchListeners()
}

func (s *Server) watchListeners() {
	for i, l := range s.listeners {
		_ = l.Watch(s.poll, id(i), !s.paused) // or it is closed
	}
}

// evict ends the connection that has been idle longest. Without an idle one, the one that has kept the server waiting longest, if it has
// for limits.settled: time enough for what an honest client's first packet has left out, and so little that a queue full of others
// (net.core.somaxconn, 4096) is done with in less than the second for which kubelet waits for an answer. It reports whether there was one.
func (s *Server) evict() bool {
	var idle, slow *conn
	for _, c := range s.conns {
		switch {
		case c.fd < 0:
		case c.idle():
			if idle == nil || c.since < idle.since {
				idle = c
			}
		case s.now-c.since >= s.limits.settled:
			if slow == nil || c.since < slow.since {
				slow = c
			}
		}
	}
	if idle == nil {
		idle = slow
	}
	if idle != nil {
		idle.evict()
	}
	return idle != nil
}

// take begins a connection.
func (s *Server) take(fd int) *conn {
	var c *conn
	if n := len(s.free); n > 0 {
		c, s.free = s.free[n-1], s.free[:n-1]
	} else {
		c = &conn{s: s, id: int32(len(s.conns))}
		s.conns = append(s.conns, c)
	}
	*c = conn{s: s, id: c.id, fd: fd, since: s.now, deadline: s.now + s.limits.first}
	s.open.Add(1)
	return c
}
