package healthz

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"usher/healthz/socket"
)

// Addr is the address at which endpoints are served.
type Addr struct {
	netip.AddrPort        // an invalid IP stands for every interface
	Path           string // path of a socket in the file system, instead of a port; "" for none
}

// ParseAddr reads the address of endpoints: ":8086" (every interface),
// "127.0.0.1:8086", "[::1]:0", "localhost:8086", "unix:/path" or
// "unix:///path". localhost stands for 127.0.0.1. Other names are not resolved.
func ParseAddr(addr string) (a Addr, err error) {
	if path, ok := strings.CutPrefix(addr, "unix:"); ok {
		a.Path = strings.TrimPrefix(path, "//")
		if len(a.Path) == 0 || a.Path[0] != '/' || len(a.Path) > maxPath {
			err = fmt.Errorf("want unix: and an absolute path of at most %d bytes", maxPath)
		}
		return a, err
	}
	if _, rest, ok := strings.Cut(addr, "://"); ok {
		rest, _, _ = strings.Cut(rest, "/")
		return a, fmt.Errorf("no scheme belongs there: write %q", rest)
	}
	host, port, err := splitAddr(addr)
	if err != nil {
		return a, err
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return a, fmt.Errorf("port %q is not a number from 0 to 65535", port)
	}
	var ip netip.Addr
	switch host {
	case "":
	case "localhost":
		ip = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	default:
		if ip, err = netip.ParseAddr(host); err != nil {
			return a, fmt.Errorf("%q is not an IP address", host)
		}
	}
	a.AddrPort = netip.AddrPortFrom(ip, uint16(n))
	return a, nil
}

// maxPath is the size of sun_path without the NUL at its end (unix(7)).
const maxPath = 107

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

// Listener is a *socket.Listener. Close removes a socket in the file system.
type Listener struct {
	*socket.Listener
	place *place // nil: a port
}

// Close makes every Accept return.
func (l *Listener) Close() error {
	if l.place != nil {
		l.place.remove()
		unix.Close(l.place.dir)
		l.place = nil
	}
	return l.Listener.Close()
}

// Listen listens at an address that ParseAddr can read. Without an IP, and with
// 0.0.0.0 or ::, it listens on every interface, for IPv4 and IPv6. The
// descriptor is close-on-exec.
//
// Every user may connect to a socket in the file system, as to a port. A socket
// that no process listens at any more is replaced. For such an address, Listen
// changes the umask and the working directory of the process for a moment.
func Listen(addr string) (*Listener, error) {
	at, err := ParseAddr(addr)
	l := &Listener{}
	switch {
	case err != nil:
	case at.Path != "":
		l.Listener, l.place, err = listenUnix(at.Path)
	default:
		l.Listener, err = listenTCP(at.AddrPort)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot listen on %q: %w", addr, err)
	}
	return l, nil
}

func listenTCP(at netip.AddrPort) (*socket.Listener, error) {
	ip := at.Addr()
	if ip.IsUnspecified() {
		ip = netip.Addr{}
	}
	sa, err := socket.Address(ip, at.Port())
	if err != nil {
		return nil, err
	}
	l, err := socket.Listen(sa)
	if err == nil {
		l.ClientFirst()
	}
	return l, err
}

func listenUnix(path string) (*socket.Listener, *place, error) {
	p, err := openPlace(path)
	if err != nil {
		return nil, nil, os.NewSyscallError("bind", err)
	}
	l, err := p.listen()
	if errors.Is(err, unix.EADDRINUSE) {
		p.removeStale()
		l, err = p.listen()
	}
	if err != nil {
		unix.Close(p.dir)
	}
	return l, p, err
}
