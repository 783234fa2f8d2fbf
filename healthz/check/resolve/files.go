package resolve

import (
	"math/rand/v2"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// files are where the system keeps what is known of names, read at each lookup: they are short, and engines rewrite them.
type files struct {
	hosts, resolv string
	port          uint16 // of name servers
}

var system = files{hosts: "/etc/hosts", resolv: "/etc/resolv.conf", port: 53}

// fromHosts returns the addresses that hosts(5), of this text, has for a host.
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

// config is resolv.conf(5).
type config struct {
	servers  []netip.Addr
	search   []string
	dots     int           // a name with as many is asked for as it is first
	timeout  time.Duration // of one try
	attempts int           // at each server
	first    int           // which server is asked first
	kind     int           // of socket, unix.SOCK_DGRAM or SOCK_STREAM
	kinds    int           // of address: 1 is IPv4, 2 is IPv6 as well
	single   bool          // one question at a time
	port     uint16        // of servers
}

// maxServers is MAXNS of resolv.conf(5).
const maxServers = 3

// parseConfig reads resolv.conf's text. Without servers, this machine's own is meant.
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
		case "search": // the last of both counts
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

// option takes one of "options", within the bounds of resolv.conf(5). The others make no difference here: each question has a socket of its
// own (single-request-reopen), the file is read each time (no-reload), and answers that are long come over TCP (edns0).
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

// names are those to ask for, in order: a name without a last dot may be meant within a domain of the search list.
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
