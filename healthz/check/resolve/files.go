package resolve

import (
	"math/rand/v2"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// files are the system's files about names. They are read at each lookup: they
// are short, and container engines rewrite them.
type files struct {
	hosts, resolv string
	port          uint16 // port of name servers
}

var system = files{hosts: "/etc/hosts", resolv: "/etc/resolv.conf", port: 53}

// fromHosts returns the addresses of a host in the text of a hosts(5) file.
func fromHosts(hosts, host string) (addrs []netip.Addr) {
	for hosts != "" {
		var line string
		line, hosts, _ = strings.Cut(hosts, "\n")
		line, _, _ = strings.Cut(line, "#")
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		for _, name := range fields[1:] {
			if strings.EqualFold(strings.TrimSuffix(name, "."), host) {
				if addr, err := netip.ParseAddr(fields[0]); err == nil {
					addrs = append(addrs, addr)
				}
				break
			}
		}
	}
	return addrs
}

// config is the content of resolv.conf(5).
type config struct {
	servers  []netip.Addr
	search   []string
	dots     int           // a name with that many dots is first asked for without the search list
	timeout  time.Duration // for one try
	attempts int           // number of tries at each server
	first    int           // index of the server to ask first
	kind     int           // kind of socket: unix.SOCK_DGRAM or SOCK_STREAM
	kinds    int           // kinds of address: 1 for IPv4, 2 for IPv6 as well
	single   bool          // ask one question at a time
	port     uint16        // port of the servers
}

// maxServers is MAXNS of resolv.conf(5).
const maxServers = 3

// parseConfig reads the text of resolv.conf. Without a server in it, the server
// is this machine's own.
func parseConfig(resolv string) config {
	c := config{dots: 1, timeout: 5 * time.Second, attempts: 2, kind: unix.SOCK_DGRAM, kinds: 2}
	for resolv != "" { // without an iterator: 1 kB
		var line string
		line, resolv, _ = strings.Cut(resolv, "\n")
		if strings.HasPrefix(line, ";") || strings.HasPrefix(line, "#") {
			continue
		}
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		switch fields[0] {
		case "nameserver":
			if addr, err := netip.ParseAddr(fields[1]); err == nil && len(c.servers) < maxServers {
				c.servers = append(c.servers, addr)
			}
		case "domain":
			c.search = fields[1:2]
		case "search": // of domain and search, the last line counts
			c.search = fields[1:]
		case "options":
			for _, option := range fields[1:] {
				c.option(option)
			}
		}
	}
	if c.servers == nil {
		c.servers = []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()}
	}
	return c
}

// option applies one of "options", within the limits of resolv.conf(5). The
// options that it ignores make no difference here: each question has a socket
// of its own (single-request-reopen), the file is read each time (no-reload),
// and long answers come over TCP (edns0).
func (c *config) option(s string) {
	switch s {
	case "rotate":
		c.first = int(rand.Uint32() % maxServers)
	case "use-vc":
		c.kind = unix.SOCK_STREAM
	case "single-request":
		c.single = true
	case "no-aaaa":
		c.kinds = 1
	}
	name, value, _ := strings.Cut(s, ":")
	n, err := strconv.Atoi(value)
	if err != nil || n < 0 {
		return
	}
	switch name {
	case "ndots":
		c.dots = min(n, 15)
	case "timeout":
		c.timeout = time.Duration(min(max(n, 1), 30)) * time.Second
	case "attempts":
		c.attempts = min(max(n, 1), 5)
	}
}

// names returns the names to ask for, in order. A name without a dot at its end
// may belong to a domain of the search list.
func (c *config) names(host string) (names []string) {
	if name, whole := strings.CutSuffix(host, "."); whole {
		return []string{name}
	}
	for _, domain := range c.search {
		if domain = strings.TrimSuffix(domain, "."); domain != "" {
			names = append(names, host+"."+domain)
		}
	}
	if strings.Count(host, ".") >= c.dots {
		return append([]string{host}, names...)
	}
	return append(names, host)
}
