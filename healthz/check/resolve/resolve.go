// Package resolve finds the addresses of a host. It is a stub resolver that
// reads /etc/hosts and /etc/resolv.conf. Package net has one as well, but only
// together with its dialer, and usher would become much larger
// (cmd/usher/guard_test.go).
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

// The answers of a name server that has no address.
var (
	errNoName    = errors.New("no such name")
	errNoAddress = errors.New("no address of that kind")
)

// Lookup returns the addresses of a host, at least one: IPv4 before IPv6, and
// otherwise in the order of /etc/hosts or of the name server. If ctx ends
// before that, the error is os.ErrDeadlineExceeded or file.ErrNoAnswer. Any
// other error has one line that names the host. The files are read with turn.
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
	// Not wrapped: the caller would take the error for its cause.
	return nil, fmt.Errorf("cannot resolve %q: %s", host, err.Error())
}

// over reports whether ctx has ended, or is about to end: the last try ends at
// the same time, and may do so a moment earlier.
func over(ctx context.Context) bool {
	deadline, limited := ctx.Deadline()
	return ctx.Err() != nil || limited && !time.Now().Before(deadline)
}

// ask asks for both kinds of address of a name. It asks the servers in turn, as
// often as attempts says. Each try gets at most its share of the time that is
// left: a lost datagram or a dead server must not use up a check's timeout,
// which is shorter than that of resolv.conf. If the name has no addresses, the
// error is nil.
func (c *config) ask(ctx context.Context, name string) (addrs []netip.Addr, err error) {
	var both [2]question
	questions := both[:c.kinds]
	for i := range questions {
		// A forger has to guess the id, and the source port that the kernel chooses.
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

// secondAnswer limits the time between the answers for the two kinds of address
// (RFC 8305, 3). Some servers and middleboxes never answer for AAAA.
const secondAnswer = 50 * time.Millisecond

// askServer asks one server, once, all questions that are not settled. It sends
// them at the same time, so that no question waits for the other.
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
			if q := &questions[i]; q.conn != nil { // listen only for a moment: it may never be answered
				q.listen(ctx, sa, c.kind, known(questions))
				waiting = true
			}
		}
	}
	for i := range questions {
		if q := &questions[i]; !q.settled() {
			// Not wrapped: a timeout of one server is not the caller's.
			q.err = fmt.Errorf("name server %v: %s", server, q.err.Error())
		}
	}
}

// question asks for the addresses of one kind of a name.
type question struct {
	query []byte
	conn  *socket.Conn // the answer comes on it; nil if none is expected
	addrs []netip.Addr
	err   error // why there are no addresses
}

// settled reports whether a server has answered in such a way that no other
// server has to be asked.
func (q *question) settled() bool { return q.err == nil || q.err == errNoAddress || q.err == errNoName }

// known reports whether no more questions have to be asked: an address is
// known, there is no such name, or all questions are settled. A server that
// does not know AAAA may say that there is no such name (RFC 4074, 4.2). So
// only its answer for A counts.
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

// send sends the question. An error is stored in the question.
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

// listen waits for the answer, over UDP only for a moment. If enough is set,
// the answer is not needed any more, and this moment is the last one.
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
			} // otherwise the truncated answer has to do
		} else if !ok {
			q.close(errors.New("malformed answer"))
			return
		}
		q.close(r.failure())
		q.addrs = r.addrs
		return
	}
}

// failure says why there are no addresses, or returns nil if there are.
func (r *reply) failure() error {
	switch code := r.flags & codeMask; {
	case r.addrs != nil:
		return nil
	case code == codeUnknown:
		return errNoName
	case code != codeOK:
		return fmt.Errorf("response code %d", code)
	case r.empty && r.flags&(flagAuthoritative|flagRecursion) == 0:
		return errors.New("it refers to other servers") // it is not one that resolvers should ask
	}
	return errNoAddress
}

// receive reads a datagram, or over TCP a message after its length.
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
