package socket

import (
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// Ports remembers the local ports of the connections made last: who sees the other end of one can tell whose it is.
type Ports struct {
	n    atomic.Uint32
	last [128]atomic.Uint32
}

// Has reports whether a port is one of them.
func (p *Ports) Has(port uint16) bool {
	for i := range p.last {
		if p.last[i].Load() == uint32(port) {
			return port != 0
		}
	}
	return false
}

// note gives fd, which is to connect to sa, a local port, which connect(2) would do later, and notes it before the other end can exist.
// Where there is none to be had it is left to connect, which can share a port among destinations.
func (p *Ports) note(fd int, sa unix.Sockaddr) {
	switch sa.(type) {
	case *unix.SockaddrInet4:
		_ = unix.Bind(fd, &unix.SockaddrInet4{})
	case *unix.SockaddrInet6:
		_ = unix.Bind(fd, &unix.SockaddrInet6{})
	}
	p.last[p.n.Add(1)%uint32(len(p.last))].Store(uint32(local(fd).Port()))
}
