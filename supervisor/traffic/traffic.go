// Package traffic observes the TCP connections that come into a network
// namespace, and whether anything moves on them: for a stop that waits for the
// end of traffic. It reads only while a Watcher is asked, and costs nothing at
// other times.
//
// It can't see UDP and with it QUIC, unix sockets, and connections that were
// handed to another network namespace.
package traffic

import (
	"slices"
	"time"
)

// Look is the result of one look at the namespace's inbound connections. It
// leaves out connections of a Watcher's own ports and checks, and of ignored
// peers.
type Look struct {
	// Active is the last time at which a connection came in or, unless
	// Watcher.NewOnly is set, a byte moved. It is zero if that is not known to have
	// happened.
	Active time.Time
	// Open is the number of connections.
	Open int
	// Busy is the number of connections with unfinished business: bytes that the
	// app has not read or the peer has not acknowledged, or a request without an
	// answer.
	Busy int
}

// Watcher observes the network namespace of the goroutine that makes it. One
// goroutine may use it at a time.
type Watcher struct {
	// Ports are usher's own listening ports, whose connections don't count.
	Ports []uint16
	// Own reports whether a local port belongs to one of usher's own clients. Nil
	// means that there are none.
	Own func(port uint16) bool
	// Ignore are the peers whose connections don't count.
	Ignore []Net
	// NewOnly makes Look.Active ignore what moves on connections: only connections
	// that have come in since Open count.
	NewOnly bool

	source    source
	listeners []endpoint // all that were ever seen: connections may outlive the socket that accepted them
	arrivals  arrivals
	look      Look // result of the present look
	blind     bool // a connection was seen of which too little is known
}

// source reads sockets from the kernel.
type source interface {
	// read passes each socket to see, listening sockets before the connections that
	// they have accepted.
	read(w *Watcher) error
	close()
}

// Open begins to watch: Look will see what comes and goes from then on. If
// there is no sock_diag, fallback says why. Then Look reads /proc/net/tcp,
// which shows connections, their queues and, while any connection is open,
// segments of any connection. All connections count as busy then.
func (w *Watcher) Open() (fallback, err error) {
	if w.source, fallback = openDiag(); fallback == nil {
		if _, fallback = w.Look(); fallback == nil {
			return nil, nil
		}
		w.source.close()
	}
	w.source = &proc{dir: "/proc/net/"}
	_, err = w.Look()
	return fallback, err
}

// Close ends the watch.
func (w *Watcher) Close() { w.source.close() }

// Look looks once. After an error, nothing is known about what has happened
// since the last look.
func (w *Watcher) Look() (Look, error) {
	began := time.Now()
	err := w.source.read(w)
	if err == nil {
		err = w.arrivals.next(began)
	}
	return w.look, err
}

// States of a connection, from linux/tcp_states.h.
const (
	established = 1
	synRecv     = 3
	timeWait    = 6
	closed      = 7
	closeWait   = 8
	listening   = 10
)

// endpoint is an end of a connection. IPv4 addresses are mapped into IPv6, so
// that an IPv4 connection on an IPv6 socket is no special case.
type endpoint struct {
	ip   [16]byte
	port uint16
}

// socket is a socket as it was read.
type socket struct {
	local, peer endpoint
	id          int   // of the connection, for all of its life: the kernel's cookie
	state       uint8 // closed: the connection has ended since the last look
	retrans     uint8 // retransmissions: of the SYN-ACK, or of the same segment, without an answer
	unread      uint32
	unacked     uint32 // bytes that were sent or will be sent
	info        bool   // the rest is set, from tcp_info(7), which connections about to end lack
	// Milliseconds since the last such event, with a jiffy's precision. All are set
	// when a connection comes in.
	dataSent, dataReceived, ackReceived uint32
	segmentsIn, segmentsOut             uint32 // with data
}

// inbound reports whether a socket is a connection that counts and that was or
// will be accepted. It notes listening sockets.
func (w *Watcher) inbound(s *socket) bool {
	if s.state == closeWait && s.unread > 0 {
		s.unread-- // the peer's FIN counts as a byte until the app has read the end
	}
	if s.state == listening {
		for i := range w.listeners {
			if w.listeners[i] == s.local {
				return false
			}
		}
		w.listeners = append(w.listeners, s.local)
		return false
	}
	return w.accepted(&s.local) && !w.ignored(s)
}

func (w *Watcher) accepted(local *endpoint) bool {
	for i := range w.listeners {
		l := &w.listeners[i]
		if l.port == local.port && (l.ip == local.ip || l.ip == [16]byte{} || l.ip == mapped) {
			return true
		}
	}
	return false
}

// ignored reports whether a connection does not count: it is usher's own, or
// its peer is in Ignore.
func (w *Watcher) ignored(s *socket) bool {
	if slices.Contains(w.Ports, s.local.port) {
		return true
	}
	// Another host may use the same port.
	if w.Own != nil && s.within() && w.Own(s.peer.port) {
		return true
	}
	for i := range w.Ignore {
		if w.Ignore[i].contains(&s.peer.ip) {
			return true
		}
	}
	return false
}

// within reports whether both ends of a connection are in this namespace: then
// they have the same address, or a loopback address.
func (s *socket) within() bool { return s.peer.ip == s.local.ip || loopback(&s.peer.ip) }

// see counts a socket that sock_diag has shown. At the time now, all that the
// socket says was already true.
func (w *Watcher) see(s *socket, now time.Time) {
	if !w.inbound(s) {
		return
	}
	switch {
	case w.NewOnly:
		if s.state == closed && w.arrivals.cameAndWent(s, now) || s.state != closed && w.arrivals.isNew(s.id) {
			w.active(now)
		}
	case s.state == synRecv:
		if s.retrans == 0 { // otherwise a peer that never answers the SYN-ACK would count for a minute
			w.active(now)
		}
	case s.info:
		quiet := s.dataReceived
		if s.retrans == 0 { // nothing moves if data is sent again and again to a peer that is gone
			quiet = min(quiet, s.dataSent)
		}
		w.active(now.Add(min(0, jiffy-time.Duration(quiet)*time.Millisecond)))
	case s.state == established:
		w.blind = true
	case s.state == closed:
		w.active(now)
	}
	if s.state == closed {
		return
	}
	w.look.Open++
	if s.busy() {
		w.look.Busy++
	}
}

// jiffy is the largest error of an age: one tick of the kernel's clock at its
// slowest, CONFIG_HZ=100.
const jiffy = 10 * time.Millisecond

//go:noinline
func (w *Watcher) active(at time.Time) {
	if at.After(w.look.Active) {
		w.look.Active = at
	}
}

// busy reports whether the app would cut something off if it ended now.
func (s *socket) busy() bool {
	switch {
	case s.unacked > 0:
		return true
	case s.state != established && s.state != closeWait: // the app has closed it, and all data has arrived
		return false
	case s.unread > 0:
		return true
	case !s.info || s.segmentsIn == 0:
		return false
	case s.dataReceived != s.dataSent:
		return s.dataReceived < s.dataSent
	}
	// Within one jiffy, either a request came and was answered, or an answer went
	// and the next request came. An answer is followed by an acknowledgement of its
	// own (RFC 9293 3.8.6.3: within half a second). A request brings the
	// acknowledgement of the last answer along. If the acknowledgement came as
	// quickly as everything else, the counts of segments decide.
	return s.ackReceived >= s.dataReceived && s.segmentsIn > s.segmentsOut
}
