package healthz

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"usher/healthz/socket"
)

// ParseAddr reads the address of endpoints: ":8086", "127.0.0.1:8086", "[::1]:0". The IP is not valid where there is none, which is
// every interface, and 127.0.0.1 for "localhost"; other names are not resolved.
func ParseAddr(addr string) (netip.AddrPort, error) {
	host, port, err := splitAddr(addr)
	if err != nil {
		return netip.AddrPort{}, err
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("port %q is not a number from 0 to 65535", port)
	}
	var ip netip.Addr
	switch host {
	case "":
	case "localhost":
		ip = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	default:
		if ip, err = netip.ParseAddr(host); err != nil {
			return netip.AddrPort{}, fmt.Errorf("%q is not an IP address", host)
		}
	}
	return netip.AddrPortFrom(ip, uint16(n)), nil
}

// splitAddr splits host:port and [host]:port.
func splitAddr(addr string) (host, port string, err error) {
	colon := strings.LastIndexByte(addr, ':')
	if colon < 0 {
		if _, notNumber := strconv.ParseUint(addr, 10, 16); notNumber == nil {
			return "", "", fmt.Errorf("write it with a colon: %q", ":"+addr)
		}
		return "", "", errors.New("missing port in address")
	}
	host, port = addr[:colon], addr[colon+1:]
	if strings.HasPrefix(host, "[") && strings.HasSuffix(host, "]") {
		return host[1 : len(host)-1], port, nil
	}
	if strings.ContainsAny(host, ":[]") {
		return "", "", errors.New("write an IPv6 address in brackets")
	}
	return host, port, nil
}

// Listen listens on a TCP address that ParseAddr can read. Without an IP, and with 0.0.0.0 or ::, that is every interface, IPv4 and
// IPv6. The descriptor is close-on-exec.
func Listen(addr string) (*socket.Listener, error) {
	at, err := ParseAddr(addr)
	if err != nil {
		return nil, fmt.Errorf("cannot listen on %q: %w", addr, err)
	}
	if at.Addr().IsUnspecified() {
		at = netip.AddrPortFrom(netip.Addr{}, at.Port())
	}
	sa, err := socket.Address(at.Addr(), at.Port())
	if err != nil {
		return nil, fmt.Errorf("cannot listen on %q: %w", addr, err)
	}
	l, err := socket.Listen(sa)
	if err != nil {
		return nil, fmt.Errorf("cannot listen on %q: %w", addr, err)
	}
	return l, nil
}
