package healthz

import (
	"errors"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// maxAccept limits the connections that are accepted in a turn.
const maxAccept = 64

// The pause after an accept that failed for lack of a resource, usually
// descriptors, and how often such failures are logged.
const (
	minBackoff = 5 * time.Millisecond
	maxBackoff = time.Second
	logPeriod  = time.Minute
)

// accept takes a listener's new connections, and answers the clients that have
// sent a request already.
func (s *Server) accept(l listener) {
	for i := range maxAccept {
		if s.paused || s.givenUp(l) {
			return
		}
		var victim *conn
		if int(s.open.Load()) == s.limits.conns {
			if victim = s.victim(); victim == nil {
				if i == 0 { // after the first one, no client may be waiting
					s.pause(s.limits.settled / 5) // until other connections may have settled
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
			c := s.newConn(fd)
			c.rights = l.Rights()
			c.ready()
		case err == unix.EAGAIN || errors.Is(err, os.ErrClosed):
			return
		default:
			if s.backoff == 0 && s.now >= s.nextLog { // once per outage; clients must not fill the log with short ones
				s.logf("health: cannot accept connections: %v; trying again", err)
				s.nextLog = s.now + logPeriod
			}
			if errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE) {
				if victim = s.victim(); victim != nil {
					victim.evict()
					continue // the evicted connection's descriptor is free
				}
			}
			s.backoff = min(max(2*s.backoff, minBackoff), maxBackoff)
			s.pause(s.backoff)
		}
	}
}

// pause stops accepting for a while.
func (s *Server) pause(d time.Duration) {
	s.paused, s.pausedAt, s.resume = true, s.now, s.now+d
	s.wakeAt(s.resume)
	s.watchListeners()
}

func (s *Server) unpause() {
	if s.full {
		s.waited += s.now - s.pausedAt
	}
	s.paused, s.full = false, false
	s.watchListeners()
}

func (s *Server) watchListeners() {
	for i, l := range s.listeners {
		_ = l.Watch(s.poll, id(i), !s.paused && !s.givenUp(l)) // fails if it is closed
	}
}

// maxWaited limits how long new clients may wait for others to settle, in total
// within waitedPeriod. It is less than the second for which kubelet waits for
// an answer, however many clients are queued before kubelet.
const (
	maxWaited    = 200 * time.Millisecond
	waitedPeriod = 10 * time.Second
)

// victim returns the connection that has to go for a new one, or nil. It
// returns nil for no longer than maxWaited. It prefers, in this order:
//
//  1. the connection that has been idle longest;
//  2. the one that has kept the server waiting longest, for a request or for
//     taking an answer, if for at least limits.settled;
//  3. one that has had an answer, because its client is not kept out;
//  4. the oldest one that has had no answer. For limits.settled it has time to
//     send what the first packet of an honest client left out, but not if new
//     clients have waited for maxWaited already.
func (s *Server) victim() (victim *conn) {
	if s.now-s.waitedSince > waitedPeriod {
		s.waited, s.waitedSince = 0, s.now
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

// maxParked limits the connections that stay open because closing them could
// take any time (socket.CloseGuarded). After that, their listener accepts no
// more connections.
const maxParked = 16

// givenUp reports whether l no longer accepts connections, because of maxParked.
func (s *Server) givenUp(l listener) bool { return s.parked >= maxParked && l.Rights() }

// park counts a connection that stays open.
func (s *Server) park() {
	if s.parked++; s.parked == 1 {
		s.logf("health: a client of a unix socket sends descriptors; "+
			"after %d such connections the socket is no longer served", maxParked)
	} else if s.parked == maxParked {
		s.watchListeners()
	}
}

// newConn begins a connection.
func (s *Server) newConn(fd int) *conn {
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
