package healthz

import "time"

// limits bound what clients can make the server hold. Tests lower them.
type limits struct {
	conns   int           // number of connections at a time
	first   time.Duration // from accept to a request's first byte
	idle    time.Duration // between an answer and the next request's first byte
	request time.Duration // from a request's first byte to the end of its head; then the answer is 408
	write   time.Duration // until the client has taken its answers
	linger  time.Duration // for reading what a client still sends after the last answer
	settled time.Duration // wait for a connection after which it may be closed to make room
}

// defaultLimits are for a kubelet, a load balancer and Prometheus, which
// together hold a handful of connections. A connection takes some 200 bytes and
// a descriptor, and a process often has no more than 1024 of those. idle is
// nginx's keepalive_timeout.
var defaultLimits = limits{
	conns:   512,
	first:   10 * time.Second,
	idle:    75 * time.Second,
	request: 5 * time.Second,
	write:   5 * time.Second,
	linger:  time.Second,
	settled: 100 * time.Millisecond,
}

// The server leaves reservedDescriptors of the process's descriptors to the
// rest of usher. Otherwise clients could make checks fail, for want of a
// descriptor. The server takes at least minConns for itself.
const (
	reservedDescriptors = 32
	minConns            = 4
)

// fewer returns the limits for a process that may have so many descriptors.
// With fewer connections, each one may be closed sooner, so that as many
// clients have their turn.
func (l limits) fewer(descriptors uint64) limits {
	conns := minConns
	switch {
	case descriptors >= uint64(l.conns+reservedDescriptors):
		return l
	case descriptors > minConns+reservedDescriptors:
		conns = int(descriptors - reservedDescriptors)
	}
	l.settled = max(l.settled*time.Duration(conns)/time.Duration(l.conns), l.settled/10)
	l.conns = conns
	return l
}
