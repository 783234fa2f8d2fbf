// Package traffic sees the TCP connections that come into a network namespace, and whether anything moves on them: for a stop that is to
// wait for the end of traffic. It reads while somebody looks, and costs nothing otherwise.
//
// What it can't see: UDP and with it QUIC, unix sockets, and what has been handed to another network namespace.
package traffic

import (
	"slices"
	"time"
)

// Look is what one look at the namespace's inbound connections has found. Those of a Watcher's own ports and checks, and ignored peers, are not
// among them.
type Look struct {
	// Active is the last time at which a connection came in or, unless
	// Watcher.NewOnly, a byte moved; zero is never, as far as is known.
	Active time.Time
	// Open is how many connections there are.
	Open int
	// Busy is how many of these have unfinished business: bytes the app has not read or the peer not acknowledged, a request without
	// an answer.
	Busy int
}

// Watcher looks at the network namespace of the goroutine that makes it. One goroutine may use it at a time.
type Watcher struct {
	// Ports are listening ports of the watcher's own, which don't count.
	Ports []uint16
	// Own says whether a local port is one of the watcher's own clients'; nil is no.
	Own func(port uint16) bool
	// Ignore are the peers that don't count.
	Ignore []Net
	// NewOnly has Look.Active be about connections that have come in since
	// Open, whatever moves on them or on others.
	NewOnly bool

	source    source
	listeners []endpoint // seen until now: what they have accepted may outlive them
	arrivals  arrivals
	look      Look // under way
	blind     bool // there was a connection of which too little was known
}

// source is where sockets are read.
type source interface {
	// read hands every socket to see, listening ones before those that they have accepted.
	read(w *Watcher) error
	close()
}

// Open begins to watch: what comes and goes from here on will be seen by Look. Without sock_diag, fallback says why, and what is seen
// instead is /proc/net/tcp: connections, their queues, and, while any is open, segments of whichever connection. All of them count as busy.
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

// Close ends it.
func (w *Watcher) Close() { w.source.close() }

// Look looks once. An error leaves nothing known about what has happened since the last time.
func (w *Watcher) Look() (Look, error) {
	began := time.Now()
	err := w.source.read(w)
	if err == nil {
		err = w.arrivals.next(began)
	}
	return w.look, err
}

// States of linux/tcp_states.h.
const (
	established = 1
	synRecv     = 3
	timeWait    = 6
	closed      = 7
	closeWait   = 8
	listening   = 10
)

// endpoint is an end of a connection. IPv4 is mapped into IPv6, so that an IPv4 connection on an IPv6 socket is no special case.
type endpoint struct {
	ip   [16]byte
	port uint16
}

// socket is one as it was read.
type socket struct {
	local, peer endpoint
	id          int   // of the connection for all of its life: the kernel's cookie
	state       uint8 // closed: it has come to its end since the last look
	retrans     uint8 // of the SYN-ACK, or how often the same segment has been sent again in vain
	unread      uint32
	unacked     uint32 // sent or to be sent
	info        bool   // whether there is the rest, from tcp_info(7): kernel connections at the end of their lives have none
	// Milliseconds since, with a jiffy's precision. All are set when a connection comes in.
	dataSent, dataReceived, ackReceived uint32
	segmentsIn, segmentsOut             uint32 // with data
}

// inbound is whether a socket is an accepted connection, or one to be, that counts. It learns from those that listen.
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

// ignored: usher's own, and whom it was told to leave out.
func (w *Watcher) ignored(s *socket) bool {
	if slices.Contains(w.Ports, s.local.port) {
		return true
	}
	// Another host may use the same port. Within a namespace a connection has the same address at both ends, or the loopback's.
	if w.Own != nil && (s.peer.ip == s.local.ip || loopback(&s.peer.ip)) && w.Own(s.peer.port) {
		return true
	}
	for i := range w.Ignore {
		if w.Ignore[i].contains(&s.peer.ip) {
			return true
		}
	}
	return false
}

// see judges a socket that sock_diag has shown. The time is one at which all that it says was already so.
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
		if s.retrans == 0 { // a peer that does not answer the SYN-ACK would count for a minute
			w.active(now)
		}
	case s.info:
		quiet := s.dataReceived
		if s.retrans == 0 { // data sent again and again to a peer that is gone is nothing that moves
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

// jiffy is how much an age may be too high: a tick of the kernel's clock at its slowest, CONFIG_HZ=100.
const jiffy = 10 * time.Millisecond

//go:noinline
func (w *Watcher) active(at time.Time) {
	if at.After(w.look.Active) {
		w.look.Active = at
	}
}

// busy is whether an end of the app, now, would cut something off.
func (s *socket) busy() bool {
	switch {
	case s.unacked > 0:
		return true
	case s.state != established && s.state != closeWait: // the app has closed it, and all of it has arrived
		return false
	case s.unread > 0:
		return true
	case !s.info || s.segmentsIn == 0:
		return false
	case s.dataReceived != s.dataSent:
		return s.dataReceived < s.dataSent
	}
	// Within one jiffy a request came and was answered, or an answer went and the next request came. An answer is followed by an
	// acknowledgement (RFC 9293 3.8.6.3: within half a second), a request has brought that of the last answer along. Where the
	// acknowledgement was as quick as everything else, there remains to count.
	return s.ackReceived >= s.dataReceived && s.segmentsIn > s.segmentsOut
}
