package check

import (
	"context"
	"net/netip"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"usher/healthz/check/resolve"
	"usher/healthz/socket"
	"usher/internal/contexts"
)

func (c *Check) dial(ctx context.Context) (conn *socket.Conn, stage string, err error) {
	if c.socket == "" {
		return c.dialHost(ctx)
	}
	conn, err = socket.DialUnix(ctx, &c.turn, c.socket, unix.SOCK_STREAM)
	return conn, stageConnect, err
}

// localhost is a name that is not looked up. It stands for the loopback
// addresses (RFC 6761 6.3): an image from scratch may have no /etc/hosts, and
// then a resolver would ask a name server.
const localhost = "localhost"

// dialHost connects to host and port. It tries every address of a name, each
// within its share of the time that is left.
func (c *Check) dialHost(ctx context.Context) (conn *socket.Conn, stage string, err error) {
	addrs := []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()}
	if c.host != localhost {
		if addrs, err = resolve.Lookup(ctx, &c.turn, c.host); err != nil {
			return nil, stageResolve, err
		}
	}
	n, _ := strconv.ParseUint(c.port, 10, 16)
	for i, addr := range addrs {
		conn, dialErr := dialOne(ctx, addr, uint16(n), len(addrs)-i, c.ports)
		if dialErr == nil {
			return conn, "", nil
		}
		if err == nil || isTimeout(err) {
			err = dialErr // the first error, or the first one that is no timeout
		}
		if ctx.Err() != nil {
			break
		}
	}
	return nil, stageConnect, err
}

// dialOne connects to one address. Its time is what is left of ctx, divided by
// shares.
func dialOne(ctx context.Context, addr netip.Addr, port uint16, shares int, ports *socket.Ports) (*socket.Conn, error) {
	sa, err := socket.Address(addr, port)
	if err != nil {
		return nil, err
	}
	if deadline, limited := ctx.Deadline(); limited {
		var cancel context.CancelFunc
		ctx, cancel = contexts.WithTimeout(ctx, time.Until(deadline)/time.Duration(shares))
		defer cancel()
	}
	return socket.Dial(ctx, sa, unix.SOCK_STREAM, ports)
}
