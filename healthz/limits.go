package healthz

import "time"

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

// A connection takes some 200 bytes, and a descriptor, of which there are often no more than 1024; kubelet, a load balancer and Prometheus
// together hold a handful. idle is nginx's keepalive_timeout.
var defaultLimits = limits{
	conns:   512,
	first:   10 * time.Second,
	idle:    75 * time.Second,
	request: 5 * time.Second,
	write:   5 * time.Second,
	linger:  time.Second,
	settled: 100 * time.Millisecond,
}

// Of the descriptors that this process may have, the server leaves so many to what else usher does: checks that lacked one would fail for
// what clients do. It takes at least a few.
const (
	leftDescriptors  = 32
	leastDescriptors = 4
)

// fewer are the limits where there are only so many descriptors. With fewer connections, each has to go sooner for as many clients to have
// their turn.
func (l limits) fewer(descriptors uint64) limits {
	conns := leastDescriptors
	switch {
	case descriptors >= uint64(l.conns+leftDescriptors):
		return l
	case descriptors > leastDescriptors+leftDescriptors:
		conns = int(descriptors - leftDescriptors)
	}
	l.settled = max(l.settled*time.Duration(conns)/time.Duration(l.conns), l.settled/10)
	l.conns = conns
	return l
}
