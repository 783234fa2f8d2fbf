// Package resolve finds the addresses of a host: a stub resolver of /etc/hosts and /etc/resolv.conf. Package net has one, which can't be
// had without its dialer: together they would cost usher 420 kB.
package resolve

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"usher/healthz/contexts"
	"usher/healthz/socket"
)

// errNotFound is a name server's word that there is no such name, or no address for it.
var errNotFound = errors.New("no such host")

// Lookup returns the addresses of a host, at least one: IPv4 before IPv6, otherwise in the order of /etc/hosts, or of the name server.
// Where the context's end has cut it short, the error is os.ErrDeadlineExceeded; others are of one line that names the host.
func Lookup(ctx context.Context, host string) ([]netip.Addr, error) { return system.lookup(ctx, host) }

func (f files) lookup(ctx context.Context, host string) ([]netip.Addr, error) {
	if addr, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{addr}, nil
	}
	if addrs := f.fromHosts(strings.TrimSuffix(host, ".")); addrs != nil {
		return addrs, nil
	}
	c := f.config()
	result := errNotFound
	for _, name := range c.names(host) {
		var addrs []netip.Addr
		for _, qtype := range []uint16{typeA, typeAAAA} {
			found, err := c.ask(ctx, name, qtype, f.port)
			if err != nil && err != errNotFound {
				result = err
			}
			addrs = append(addrs, found...)
		}
		if addrs != nil {
			return addrs, nil
		}
		if over(ctx) {
			return nil, os.ErrDeadlineExceeded
		}
	}
	if result == errNotFound {
		return nil, fmt.Errorf("no such host %q", host)
	}
	return nil, fmt.Errorf("cannot resolve %q: %v", host, result)
}

// over is whether ctx has ended, or is just about to: the last try ends with it, and may do so first.
func over(ctx context.Context) bool {
	deadline, limited := ctx.Deadline()
	return ctx.Err() != nil || limited && !time.Now().Before(deadline)
}

// ask asks the servers in turn, as often as attempts says, each time for at most its share of the time that is left: a lost datagram or
// a dead server are to be got over within a check's timeout, which is shorter than resolv.conf's.
func (c *config) ask(ctx context.Context, name string, qtype, port uint16) (addrs []netip.Addr, err error) {
	tries := c.attempts * len(c.servers)
	for i := range tries {
		server := c.servers[i%len(c.servers)]
		wait := c.timeout
		if deadline, limited := ctx.Deadline(); limited {
			wait = min(wait, time.Until(deadline)/time.Duration(tries-i))
		}
		addrs, err = askServer(ctx, wait, server, port, name, qtype)
		if err == nil || err == errNotFound || over(ctx) {
			return addrs, err
		}
		err = fmt.Errorf("name server %v: %v", server, err)
	}
	return nil, err
}

// askServer asks one server once, and over TCP if the answer does not fit into a datagram.
func askServer(ctx context.Context, wait time.Duration, server netip.Addr, port uint16, name string, qtype uint16) ([]netip.Addr, error) {
	ctx, cancel := contexts.WithTimeout(ctx, wait)
	defer cancel()
	sa, err := socket.Address(server, port)
	if err != nil {
		return nil, err
	}
	id := uint16(rand.Uint32()) // the source port, which the kernel chooses, makes a forger guess as well
	query, ok := newQuery(id, name, qtype)
	if !ok {
		return nil, errNotFound
	}
	r, err := exchange(ctx, sa, query, unix.SOCK_DGRAM)
	if err == nil && r.flags&flagTruncated != 0 {
		if whole, err := exchange(ctx, sa, query, unix.SOCK_STREAM); err == nil {
			r = whole
		} // else what was not cut off has to do
	}
	if err != nil {
		return nil, err
	}
	switch code := r.flags & codeMask; {
	case r.addrs != nil:
		return r.addrs, nil
	case code == codeUnknown:
		return nil, errNotFound
	case code != codeOK:
		return nil, fmt.Errorf("response code %d", code)
	case r.empty && r.flags&(flagAuthoritative|flagRecursion) == 0:
		return nil, errors.New("it refers to others") // a server that should not have been asked
	}
	return nil, errNotFound
}

// exchange sends a query and waits for its answer.
func exchange(ctx context.Context, sa unix.Sockaddr, query []byte, kind int) (reply, error) {
	conn, err := socket.Dial(ctx, sa, kind, nil)
	if err != nil {
		return reply{}, err
	}
	defer conn.Close()
	defer contexts.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })()
	sent := query
	if kind == unix.SOCK_STREAM {
		sent = append(binary.BigEndian.AppendUint16(nil, uint16(len(query))), query...)
	}
	if _, err := conn.Write(sent); err != nil {
		return reply{}, err
	}
	for {
		msg, err := receive(conn, kind)
		if err != nil {
			return reply{}, err
		}
		if isReply(msg, query) {
			if r, ok := parseReply(msg, query); ok || r.flags&flagTruncated != 0 {
				return r, nil
			}
			return reply{}, errors.New("malformed answer")
		}
	}
}

// receive reads a datagram, or over TCP a message behind its length.
func receive(conn *socket.Conn, kind int) ([]byte, error) {
	if kind == unix.SOCK_DGRAM {
		msg := make([]byte, maxUDP)
		n, err := conn.Read(msg)
		if err == io.EOF {
			err = nil // an empty datagram
		}
		return msg[:n], err
	}
	var length [2]byte
	if _, err := io.ReadFull(conn, length[:]); err != nil {
		return nil, err
	}
	msg := make([]byte, binary.BigEndian.Uint16(length[:]))
	_, err := io.ReadFull(conn, msg)
	return msg, err
}
