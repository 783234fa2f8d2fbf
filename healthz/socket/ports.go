package socket

import (
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// Ports remembers the local ports of the last connections. With them, an
// observer of the other ends can recognise the connections that are usher's
// own.
type Ports struct {
	n    atomic.Uint32
	last [128]atomic.Uint32
}

// Has reports whether a port is among them.
func (p *Ports) Has(port uint16) bool {
	for i := range p.last {
		if p.last[i].Load() == uint32(port) {
			return port != 0
		}
	}
	return false
}

// note gives fd, which will connect to sa, a local port and remembers it.
// connect(2) would choose the port later, when the other end can exist already.
// If bind(2) finds no port, connect chooses one, since it can share a port
// among destinations.
func (p *Ports) note(fd int, sa unix.Sockaddr) {
	switch sa.(type) {
	case *unix.SockaddrInet4:
		_ = unix.Bind(fd, &unix.SockaddrInet4{})
	case *unix.SockaddrInet6:
		_ = unix.Bind(fd, &unix.SockaddrInet6{})
	}
	p.last[p.n.Add(1)%uint32(len(p.last))].Store(uint32(local(fd).Port()))
}
