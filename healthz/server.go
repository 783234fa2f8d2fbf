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

// Server serves endpoints over HTTP/1.0 and 1.1: GET, HEAD and OPTIONS,
// keep-alive, pipelining. It has no TLS, no HTTP/2, takes no bodies, and
// allocates nothing for a request. Whatever clients send or hold back, it holds
// at most limits.conns of them: when one more comes, another one goes (see
// victim).
//
// One goroutine serves all clients, and never waits for one of them. An
// incomplete request, and an answer that its client has not taken, stay with
// the connection.
type Server struct {
	routes []route
	logf   func(format string, args ...any)
	limits limits
	poll   *socket.Poller
	open   atomic.Int32 // number of connections

	mu        sync.Mutex
	listeners []listener

	// The fields from here on belong to Serve.
	start   time.Time     // all moments are measured from it
	at      time.Time     // beginning of the present turn
	now     time.Duration // from start to at
	due     time.Duration // the first deadline, or never
	yielded time.Duration // when other goroutines ran last
	conns   []*conn       // indexed by conn.id
	free    []*conn       // ended connections among conns, for reuse
	parked  int           // connections that cannot be closed

	paused      bool // no connections are accepted until resume
	full        bool // …or until a connection ends
	pausedAt    time.Duration
	resume      time.Duration
	waited      time.Duration // how long new clients have waited for a place since waitedSince
	waitedSince time.Duration
	backoff     time.Duration // pause after the last accept, if that failed
	nextLog     time.Duration // earliest time to log such a failure again

	date       []byte // of answers in the second dateSecond
	dateSecond int64

	in      [maxHead]byte // bytes from the connection that is served
	out     []byte        // answers to it
	body    []byte        // scratch
	results []Result      // scratch
}

// listener is a *Listener. Tests have listeners that fail.
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
	endpoint Endpoint // nil if page is set
	page     Page
}

// NewServer returns a server without endpoints. logf may be nil. It logs what an
// operator has to know, such as a panic or that no connections can be accepted,
// and never what clients do.
func NewServer(logf func(format string, args ...any)) (*Server, error) {
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
	return s, nil
}

// SetEndpoint adds an endpoint. Its name has no slash: "livez", "readyz",
// "healthz". Call it before Serve.
//
//go:noinline
func (s *Server) SetEndpoint(name string, endpoint Endpoint) {
	s.routes = append(s.routes, route{name: name, path: []byte("/" + name), endpoint: endpoint})
}

// SetPage adds an endpoint that is a page. Call it before Serve.
func (s *Server) SetPage(name string, page Page) {
	s.routes = append(s.routes, route{name: name, path: []byte("/" + name), page: page})
}

var readyzPath = []byte("/readyz")

// route returns the endpoint of a path, or nil, and the name of the single
// check that /readyz/NAME asks for. Load balancers ask for / by default
// (HAProxy, ALB, GCP), and want to know about readiness.
func (s *Server) route(path []byte) (rt *route, check []byte) {
	if len(path) == 1 {
		path = readyzPath
	}
	for i := range s.routes {
		rest, ok := bytes.CutPrefix(path, s.routes[i].path)
		if ok && (len(rest) == 0 || rest[0] == '/' && len(rest) > 1 && s.routes[i].page == nil) {
			return &s.routes[i], rest[min(1, len(rest)):]
		}
	}
	return nil, nil
}

// maxTurns limits the time that turns may follow each other before other
// goroutines run.
const maxTurns = 500 * time.Microsecond

// Listen adds an address, in the form that the function Listen accepts. Call it
// before Serve.
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

// Ports returns the ports that the server listens on.
func (s *Server) Ports() (ports []uint16) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.listeners {
		ports = append(ports, l.Addr().Port())
	}
	return ports
}

// Serve answers connections until Close is called. No error ends it: if a
// server gave up for a moment's lack of descriptors, kubelet would kill the
// container. Call it once.
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
			} else if c := s.conns[e.Fd]; c.fd >= 0 { // otherwise it was evicted in this turn
				c.ready()
			}
		}
		if len(events) == cap(events) { // the listeners must not wait until all connections are served
			for _, l := range s.listeners {
				s.accept(l)
			}
		}
		if s.now >= s.due {
			s.endExpired()
		}
		if s.now-s.yielded >= maxTurns {
			s.yielded = s.now
			runtime.Gosched()
		}
	}
}

// id returns the poller's id of a listener, given its index.
func id(listener int) int32 { return -1 - int32(listener) }

// Close closes listeners and connections and makes Serve return. It waits for
// nothing, and may be called again.
func (s *Server) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.poll.Close()
	for _, l := range s.listeners {
		l.Close()
	}
}

// end closes everything when Serve returns.
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

// wakeAt makes sure that deadlines are looked at then.
func (s *Server) wakeAt(at time.Duration) { s.due = min(s.due, at) }

// endExpired ends pauses and connections whose time is over.
func (s *Server) endExpired() {
	s.due = never
	if s.paused && s.now >= s.resume {
		s.unpause()
	} else if s.paused {
		s.wakeAt(s.resume)
	}
	for _, c := range s.conns {
		if c.fd >= 0 && s.now >= c.deadline {
			c.expired()
		}
		if c.fd >= 0 {
			s.wakeAt(c.deadline)
		}
	}
}
