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

// Server serves endpoints over HTTP/1.0 and 1.1: GET, HEAD and OPTIONS, keep-alive, pipelining. It has no TLS, no HTTP/2, takes no
// bodies, and allocates nothing for a request. Whatever clients send or hold back, it holds at most limits.conns of them:
// when one more comes, another goes (victim).
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
	began   time.Duration // the pause
	resume  time.Duration
	waited  time.Duration // how long new clients have waited for a place, of late
	recent  time.Duration // since when that counts
	parked  int           // connections that cannot be closed
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
	Rights() bool
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

var readyzPath = []byte("/readyz")

// route returns the endpoint of a path, or nil, and the name of the one check of it that /readyz/NAME asks for. What load balancers ask
// for unless they are told otherwise is / (HAProxy, ALB, GCP), and what they want to know is readiness.
func (s *Server) route(path []byte) (rt *route, check []byte) {
	if len(path) == 1 {
		path = readyzPath
	}
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
	maxAccept = 64
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
		if len(events) == cap(events) { // or a listener would have its turn only after all connections
			for _, l := range s.listeners {
				s.accept(l)
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
		if s.paused || s.givenUp(l) {
			return
		}
		var victim *conn
		if int(s.open.Load()) == s.limits.conns {
			if victim = s.victim(); victim == nil {
				if i == 0 { // later there may be nobody who waits
					s.pause(s.limits.settled / 5) // then look again: others may have settled
					s.full = true
				}
				return
			}
		}
		fd, err := l.Accept()
		switch {
		case err == nil:
			s.backoff = 0
			if victim != nil {
				victim.evict()
			}
			c := s.take(fd)
			c.rights = l.Rights()
			c.ready()
		case err == unix.EAGAIN || errors.Is(err, os.ErrClosed):
			return
		default:
			if s.backoff == 0 && s.now >= s.tell { // once an outage, and clients must not fill the log with short ones
				s.logf("health: cannot accept connections: %v; trying again", err)
				s.tell = s.now + tellEvery
			}
			if errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE) {
				if victim = s.victim(); victim != nil {
					victim.evict()
					continue // with its descriptor
				}
			}
			s.backoff = min(max(2*s.backoff, minBackoff), maxBackoff)
			s.pause(s.backoff)
		}
	}
}

// pause stops accepting for a while.
func (s *Server) pause(d time.Duration) {
	s.paused, s.began, s.resume = true, s.now, s.now+d
	s.wake(s.resume)
	s.watchListeners()
}

func (s *Server) unpause() {
	if s.full {
		s.waited += s.now - s.began
	}
	s.paused, s.full = false, false
	s.watchListeners()
}

func (s *Server) watchListeners() {
	for i, l := range s.listeners {
		_ = l.Watch(s.poll, id(i), !s.paused && !s.givenUp(l)) // or it is closed
	}
}

// maxWaited is how long new clients may wait for others to settle, in all
// and in waitedIn. It is less than the second for which kubelet waits for an
// answer, whatever number of clients is queued before it.
const (
	maxWaited = 200 * time.Millisecond
	waitedIn  = 10 * time.Second
)

// victim returns the connection that has to go for a new one, or nil, which
// it is not for longer than maxWaited:
//
//  1. the one that has been idle longest;
//  2. the one that has kept the server waiting longest, for a request or for
//     taking an answer, if for at least limits.settled;
//  3. one that has had an answer: it is not kept out;
//  4. the oldest that has not had one. For limits.settled it has time for
//     what an honest client's first packet has left out, but not where new
//     clients have waited for maxWaited already.
func (s *Server) victim() (victim *conn) {
	if s.now-s.recent > waitedIn {
		s.waited, s.recent = 0, s.now
	}
	best := 4
	if s.waited >= maxWaited {
		best = 5
	}
	for _, c := range s.conns {
		rank := 4
		switch {
		case c.fd < 0:
			continue
		case c.idle():
			rank = 1
		case s.now-c.since >= s.limits.settled:
			rank = 2
		case c.answered:
			rank = 3
		}
		if rank < best || rank == best && victim != nil && c.since < victim.since {
			victim, best = c, rank
		}
	}
	return victim
}

// maxParked is how many connections may stay open because closing them could
// take any time (socket.CloseGuarded). Then no more are accepted where they
// came from.
const maxParked = 16

func (s *Server) givenUp(l listener) bool { return s.parked >= maxParked && l.Rights() }

// park counts one of them.
func (s *Server) park() {
	if s.parked++; s.parked == 1 {
		s.logf("health: a client of a unix socket sends descriptors; after %d such connections the socket is no longer served", maxParked)
	} else if s.parked == maxParked {
		s.watchListeners()
	}
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
