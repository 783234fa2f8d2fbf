package healthz

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
)

// Listen listens on a TCP address: ":8086" (every interface, IPv4 and IPv6), "127.0.0.1:8086", "[::1]:0" (a port that is
// free), "localhost:8086" (127.0.0.1). Names are not resolved. The descriptor is close-on-exec.
func Listen(addr string) (net.Listener, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		if _, notNumber := strconv.ParseUint(addr, 10, 16); notNumber == nil {
			return nil, fmt.Errorf("cannot listen on %q: write it with a colon: %q", addr, ":"+addr)
		}
		var detail *net.AddrError
		if errors.As(err, &detail) {
			err = errors.New(detail.Err) // without the address, which is quoted already
		}
		return nil, fmt.Errorf("cannot listen on %q: %w", addr, err)
	}
	if host == "localhost" {
		host = "127.0.0.1"
	}
	if host != "" {
		if _, err := netip.ParseAddr(host); err != nil {
			return nil, fmt.Errorf("cannot listen on %q: %q is not an IP address", addr, host)
		}
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return nil, fmt.Errorf("cannot listen on %q: port %q is not a number from 0 to 65535", addr, port)
	}
	// Idle connections are bounded by deadlines: kernel keepalive would cost four system calls a connection. MPTCP, which
	// Go's listeners offer by default, would make the socket one that sock_diag lists under another protocol.
	config := net.ListenConfig{KeepAlive: -1}
	config.SetMultipathTCP(false)
	l, err := config.Listen(context.Background(), "tcp", net.JoinHostPort(host, port))
	if err != nil {
		return nil, fmt.Errorf("cannot listen on %q: %w", addr, cause(err))
	}
	return l, nil
}

// cause returns what is wrong, without the operation and address that package net puts before it.
func cause(err error) error {
	var op *net.OpError
	if errors.As(err, &op) && op.Err != nil {
		return op.Err
	}
	return err
}
