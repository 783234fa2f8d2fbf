package check

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// Parse reads a check:
//
//	http://host[:port][/path][?query]    https://host[:port][/path][?query]
//	tcp://host:port                      unix:///path
//	grpc://host:port[/service]           grpcs://host:port[/service], over TLS
//	exec:command args…                   file:/path
//	notify:
//
// An IPv6 address is in brackets, and an IPv4 address may be. The path of unix
// and file has no escapes. Words splits a command.
func Parse(spec string) (*Check, error) {
	c := &Check{spec: spec}
	if err := c.parse(); err != nil {
		return nil, fmt.Errorf("check %q: %w", spec, err)
	}
	return c, nil
}

// kinds are the words before the colon of a check.
var kinds = [...]string{"tcp", "http", "unix", "file", "exec", "notify", "https", "grpc", "grpcs"}

func (c *Check) parse() (err error) {
	name, rest, ok := strings.Cut(c.spec, ":")
	if c.kind = kind(slices.Index(kinds[:], name)); c.kind < 0 || !ok {
		return c.unknown(name)
	}
	if c.kind != kindExec && isSeveral(rest) {
		return errSeveral
	}
	switch c.kind {
	case kindUnix, kindFile:
		return c.parsePath(strings.TrimPrefix(rest, "//"))
	case kindNotify:
		if rest != "" {
			err = fmt.Errorf("%q: notify: takes nothing more", rest)
		}
		return err
	case kindExec:
		c.argv, err = Words(rest)
		return err
	}
	if rest, ok = strings.CutPrefix(rest, "//"); !ok {
		return fmt.Errorf("%q must be followed by ://", name)
	}
	for i := range len(rest) {
		if ch := rest[i]; ch <= ' ' || ch >= 0x7f {
			return fmt.Errorf("%q must be percent-encoded", rest[i:i+1])
		}
	}
	switch c.kind {
	case kindHTTP:
		return c.parseHTTP(rest, "80")
	case kindHTTPS:
		return c.parseHTTP(rest, "443")
	}
	return c.parseTCP(rest)
}

// maxUnixPath is the size of sun_path without the NUL at its end (unix(7)).
const maxUnixPath = 107

func (c *Check) parsePath(path string) error {
	switch {
	case !strings.HasPrefix(path, "/"):
		return fmt.Errorf("%q is not an absolute path", path)
	case strings.IndexByte(path, 0) >= 0:
		return errors.New("a path cannot hold a NUL")
	case c.kind == kindUnix && len(path) > maxUnixPath:
		return fmt.Errorf("the path of a socket has at most %d bytes, not %d", maxUnixPath, len(path))
	}
	c.target = path
	return nil
}

// parseTCP reads the checks that have an address but none of a URL's defaults:
// tcp and grpc.
func (c *Check) parseTCP(rest string) error {
	if c.kind != kindTCP {
		if rest, c.target, _ = strings.Cut(rest, "/"); strings.ContainsAny(c.target, "/?#") {
			return fmt.Errorf("%q is not the name of a service", c.target)
		}
	}
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		return fmt.Errorf("%q: want only a host and a port", rest[i:])
	}
	if err := c.parseAuthority(rest); err != nil {
		return err
	}
	if c.port == "" {
		return errors.New("no port")
	}
	return nil
}

func (c *Check) parseHTTP(rest, port string) error {
	authority := rest
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		authority, c.target = rest[:i], rest[i:]
	}
	if strings.Contains(c.target, "#") {
		return errors.New("a fragment (#) is never sent to a server; write %23 for a # in the path")
	}
	if !strings.HasPrefix(c.target, "/") {
		c.target = "/" + c.target
	}
	for i := range len(c.target) {
		if c.target[i] == '%' && (i+2 >= len(c.target) || !isHex(c.target[i+1]) || !isHex(c.target[i+2])) {
			return fmt.Errorf("%q is not a percent escape", c.target[i:min(i+3, len(c.target))])
		}
	}
	if err := c.parseAuthority(authority); err != nil {
		return err
	}
	c.hostHeader = authority
	if authority[0] == '[' && !strings.Contains(c.host, ":") {
		c.hostHeader = c.host + authority[len("[]")+len(c.host):]
	}
	if zone := strings.IndexByte(c.host, '%'); zone >= 0 { // a zone has a meaning on this machine only (RFC 6874 4)
		c.hostHeader = strings.Replace(authority, c.host[zone:], "", 1)
	}
	if c.port == "" {
		c.port = port
		c.hostHeader = strings.TrimSuffix(c.hostHeader, ":")
	}
	return nil
}

// parseAuthority reads host[:port]. Without a port, c.port is "". An IPv4
// address may be in brackets: a template for both families writes
// http://[$(POD_IP)]/.
func (c *Check) parseAuthority(s string) error {
	if strings.Contains(s, "@") {
		return fmt.Errorf("%q: a user is not supported", s)
	}
	host, port := s, ""
	if strings.HasPrefix(s, "[") {
		end := strings.IndexByte(s, ']')
		if end < 0 {
			return fmt.Errorf("host %q: no closing bracket", s)
		}
		host, port = s[1:end], s[end+1:]
		if _, err := netip.ParseAddr(host); err != nil {
			return fmt.Errorf("host %q is not an IP address", host)
		}
		if port != "" && port[0] != ':' {
			return fmt.Errorf("host %q: only a port may follow the bracket", s)
		}
		port = strings.TrimPrefix(port, ":")
	} else {
		host, port, _ = strings.Cut(s, ":")
		if strings.Contains(port, ":") {
			return fmt.Errorf("host %q: write an IPv6 address in brackets", s)
		}
		if err := validName(host); err != nil {
			return err
		}
	}
	if n, err := strconv.ParseUint(port, 10, 16); port != "" && (err != nil || n == 0) {
		return fmt.Errorf("port %q is not a number from 1 to 65535", port)
	}
	c.host, c.port = host, port
	return nil
}

// validName accepts host names and IPv4 addresses. A name whose last label is a
// number has to be an address. Otherwise a resolver would ask for "10.0.0.256"
// in vain, at every probe.
func validName(host string) error {
	if host == "" {
		return errors.New("no host")
	}
	for i := range len(host) {
		if c := host[i]; !isAlnum(c) && c != '-' && c != '.' && c != '_' {
			return fmt.Errorf("host %q: %q cannot be in a name", host, host[i:i+1])
		}
	}
	last := host[strings.LastIndexByte(host, '.')+1:]
	if strings.Trim(last, "0123456789") == "" && last != "" {
		if _, err := netip.ParseAddr(host); err != nil {
			return fmt.Errorf("host %q is not an IPv4 address", host)
		}
	}
	return nil
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func isAlnum(c byte) bool { return isDigit(c) || 'a' <= c|0x20 && c|0x20 <= 'z' }

func isHex(c byte) bool { return isDigit(c) || 'a' <= c|0x20 && c|0x20 <= 'f' }
