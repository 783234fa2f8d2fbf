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

	"usher/healthz/socket"
	"usher/internal/contexts"
	"usher/internal/file"
)

// What a name server can say instead of an address.
var (
	errNoName    = errors.New("no such name")
	errNoAddress = errors.New("no address of that kind")
)

// Lookup returns the addresses of a host, at least one: IPv4 before IPv6, otherwise in the order of /etc/hosts, or of the name server.
// Where the context's end has cut it short, the error is os.ErrDeadlineExceeded or file.ErrNoAnswer; others are of one line that names the host.
// The files are read with turn.
func Lookup(ctx context.Context, turn *file.Turn, host string) ([]netip.Addr, error) {
	return system.lookup(ctx, turn, host)
}

func (f files) lookup(ctx context.Context, turn *file.Turn, host string) ([]netip.Addr, error) {
	if addr, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{addr}, nil
	}
	text, err := file.ReadWithin(ctx, turn, f.hosts)
	if err != nil {
		return nil, err
	}
	if addrs := fromHosts(text, strings.TrimSuffix(host, ".")); addrs != nil {
		return addrs, nil
	}
	if text, err = file.ReadWithin(ctx, turn, f.resolv); err != nil {
		return nil, err
	}
	c := parseConfig(text)
	c.port = f.port
	for _, name := range c.names(host) {
		addrs, failure := c.ask(ctx, name)
		switch {
		case addrs != nil:
			return addrs, nil
		case over(ctx):
			return nil, os.ErrDeadlineExceeded
		case failure != nil:
			err = failure
		}
	}
	if err == nil {
		return nil, fmt.Errorf("no such host %q", host)
	}
	return nil, fmt.Errorf("cannot resolve %q: %v", host, err)
}

// over is whether ctx has ended, or is just about to: the last try ends with it, and may do so first.
func over(ctx context.Context) bool {
	deadline, limited := ctx.Deadline()
	return ctx.Err() != nil || limited && !time.Now().Before(deadline)
}

// ask asks for a name's addresses of both kinds. It asks the servers in turn, as often as attempts says, each time for at most its share of the
// time that is left: a lost datagram or a dead server are to be got over within a check's timeout, which is shorter than resolv.conf's. Without
// addresses, the error is nil if the name has none.
func (c *config) ask(ctx context.Context, name string) (addrs []netip.Addr, err error) {
	var both [2]question
	questions := both[:c.kinds]
	for i := range questions {
		// The source port, which the kernel chooses, makes a forger guess as well.
		query, ok := newQuery(uint16(rand.Uint32()), name, [...]uint16{typeA, typeAAAA}[i])
		if !ok {
			return nil, nil
		}
		both[i] = question{query: query, err: os.ErrDeadlineExceeded}
	}
	tries := c.attempts * len(c.servers)
	for i := 0; i < tries && !known(questions) && !over(ctx); i++ {
		wait := c.timeout
		if deadline, limited := ctx.Deadline(); limited {
			wait = min(wait, time.Until(deadline)/time.Duration(tries-i))
		}
		c.askServer(ctx, wait, c.servers[(c.first+i)%len(c.servers)], questions)
	}
	for i := range questions {
		q := &questions[i]
		addrs = append(addrs, q.addrs...)
		if !q.settled() && both[0].err != errNoName {
			err = q.err
		}
	}
	return addrs, err
}

// secondAnswer is how much later than the answer for one kind of address that for the other may come (RFC 8305, 3). Some servers, and what
// lies before them, never answer for AAAA.
const secondAnswer = 50 * time.Millisecond

// askServer asks one server, once, what is not settled: both questions at the same time, so that none has to wait for the other.
func (c *config) askServer(ctx context.Context, wait time.Duration, server netip.Addr, questions []question) {
	ctx, cancel := contexts.WithTimeout(ctx, wait)
	defer cancel()
	sa, err := socket.Address(server, c.port)
	for i := range questions {
		q := &questions[i]
		if q.settled() {
			continue
		}
		if q.err = err; err == nil {
			q.send(ctx, sa, c.kind)
		}
		for c.single && q.conn != nil {
			q.listen(ctx, sa, c.kind, known(questions))
		}
	}
	for waiting := true; waiting; {
		waiting = false
		for i := range questions {
			if q := &questions[i]; q.conn != nil { // for a moment: it may be the one that is not answered
				q.listen(ctx, sa, c.kind, known(questions))
				waiting = true
			}
		}
	}
	for i := range questions {
		if q := &questions[i]; !q.settled() {
			q.err = fmt.Errorf("name server %v: %v", server, q.err)
		}
	}
}

// question is for the addresses of one kind that a name has.
type question struct {
	query []byte
	conn  *socket.Conn // where the answer is to come; nil is none
	addrs []netip.Addr
	err   error // why there are none
}

// settled is whether a server has answered in a way that needs no other server.
func (q *question) settled() bool { return q.err == nil || q.err == errNoAddress || q.err == errNoName }

// known is whether an address is known, or that there is no such name. A server that has not heard of AAAA may say the latter (RFC 4074, 4.2), and
// is believed for A only; or all is settled.
//
//go:noinline
func known(questions []question) bool {
	all := true
	for i := range questions {
		q := &questions[i]
		if q.err == nil || q.err == errNoName && i == 0 {
			return true
		}
		all = all && q.settled()
	}
	return all
}

// send has no error: it is the question's.
func (q *question) send(ctx context.Context, sa unix.Sockaddr, kind int) {
	conn, err := socket.Dial(ctx, sa, kind, nil)
	if q.err = err; err != nil {
		return
	}
	q.conn, q.err = conn, os.ErrDeadlineExceeded
	sent := q.query
	if kind == unix.SOCK_STREAM {
		sent = append(binary.BigEndian.AppendUint16(nil, uint16(len(sent))), sent...)
	}
	if _, err := q.conn.Write(sent); err != nil {
		q.close(err)
	}
}

func (q *question) close(err error) {
	q.conn.Close()
	q.conn, q.err = nil, err
}

// listen waits for the answer: a datagram only for a moment, which is the last one if the answer is not needed any more.
func (q *question) listen(ctx context.Context, sa unix.Sockaddr, kind int, enough bool) {
	until, _ := ctx.Deadline()
	if slot := time.Now().Add(secondAnswer); (enough || kind == unix.SOCK_DGRAM) && slot.Before(until) {
		until = slot
	}
	q.conn.SetReadDeadline(until)
	for {
		msg, err := receive(q.conn, kind)
		if err != nil {
			if err != os.ErrDeadlineExceeded || enough || over(ctx) {
				q.close(err)
			}
			return
		}
		if !isReply(msg, q.query) {
			continue
		}
		r, ok := parseReply(msg, q.query)
		if r.flags&flagTruncated != 0 && kind == unix.SOCK_DGRAM {
			whole := question{query: q.query}
			if whole.send(ctx, sa, unix.SOCK_STREAM); whole.conn != nil {
				whole.listen(ctx, sa, unix.SOCK_STREAM, false)
			}
			if whole.settled() {
				q.close(whole.err)
				q.addrs = whole.addrs
				return
			} // else what was not cut off has to do
		} else if !ok {
			q.close(errors.New("malformed answer"))
			return
		}
		q.close(r.failure())
		q.addrs = r.addrs
		return
	}
}

// failure is why there are no addresses.
func (r *reply) failure() error {
	switch code := r.flags & codeMask; {
	case r.addrs != nil:
		return nil
	case code == codeUnknown:
		return errNoName
	case code != codeOK:
		return fmt.Errorf("response code %d", code)
	case r.empty && r.flags&(flagAuthoritative|flagRecursion) == 0:
		return errors.New("it refers to others") // a server that should not have been asked
	}
	return errNoAddress
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
