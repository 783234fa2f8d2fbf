package traffic

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// proc reads sockets from /proc/net/tcp and tcp6, if there is no sock_diag: in
// gVisor, behind a seccomp filter, with a kernel without INET_DIAG. These files
// show the connections and the state of their queues, but not bytes that came
// and went. So the counters of the whole namespace in /proc/net/snmp must rest
// as well: the number of accepted connections, besides those that were seen,
// and, while any inbound connection is open, the number of segments. If that is
// wrong, the wait is too long, not too short.
type proc struct {
	dir string
	// other is the number of new connections that were accepted but don't count:
	// usher's own, ignored ones.
	other int
	buf   []byte

	accepted, segments uint64
}

func (p *proc) close() {}

func (p *proc) read(w *Watcher) error {
	w.look.Open, w.look.Busy = 0, 0
	p.other = 0
	for _, name := range []string{"tcp", "tcp6"} {
		err := p.lines(name, func(line []byte) {
			var s socket
			if s.parseLine(line) {
				p.see(w, &s)
			}
		})
		if err != nil && !(name == "tcp6" && err == unix.ENOENT) { // ipv6.disable=1
			return fmt.Errorf("cannot read %s%s: %w", p.dir, name, err)
		}
	}
	var accepted, segments uint64
	counted := false
	err := p.lines("snmp", func(line []byte) {
		// Two lines begin with Tcp: names, then numbers. The kernel writes them in the
		// order of RFC 4022.
		if f := strings.Fields(string(line)); len(f) > 11 && f[0] == "Tcp:" && f[1][0] <= '9' {
			accepted, segments, counted = number(f[6]), number(f[10])+number(f[11]), true
		}
	})
	if err == nil && !counted {
		err = errors.New("no line of numbers that begins with Tcp")
	}
	if err != nil {
		return fmt.Errorf("cannot read %ssnmp: %w", p.dir, err)
	}
	moved := !w.NewOnly && w.look.Open > 0 && segments != p.segments
	if w.arrivals.look > 0 && (accepted > p.accepted+uint64(p.other) || moved) {
		w.active(time.Now())
	}
	p.accepted, p.segments = accepted, segments
	return nil
}

func (p *proc) see(w *Watcher, s *socket) {
	if s.state == listening {
		w.inbound(s)
		return
	}
	// A connection within the namespace has two sockets, which are taken for one. If
	// the client closes the connection first, only the client's socket stays, in
	// TIME_WAIT.
	client := !w.accepted(&s.local) && s.within()
	if client {
		s.local, s.peer = s.peer, s.local
	}
	if !w.accepted(&s.local) {
		return // the app has made this connection
	}
	counts := w.inbound(s)
	isNew := w.arrivals.isNew(s.pair())
	switch {
	case !counts && isNew:
		p.other++
	case !counts:
		return
	case isNew || !client && !w.NewOnly && (s.unread > 0 || s.unacked > 0):
		w.active(time.Now())
	}
	if !counts || client || s.state == timeWait {
		return
	}
	w.look.Open++
	if s.unacked > 0 || s.state == established || s.state == closeWait {
		w.look.Busy++
	}
}

// pair returns an identifier of a connection, made from its two ends: FNV-1a of
// 16 bits at a time.
func (s *socket) pair() int {
	h := uint64(s.local.port)<<16 | uint64(s.peer.port)
	for i := range s.local.ip {
		h = (h ^ uint64(s.local.ip[i])<<8 ^ uint64(s.peer.ip[i])) * 1099511628211
	}
	return int(h)
}

// lines calls do with each line of a file.
func (p *proc) lines(name string, do func(line []byte)) error {
	fd, err := unix.Open(p.dir+name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if p.buf == nil {
		p.buf = make([]byte, 32<<10)
	}
	kept := 0
	for {
		n, err := unix.Read(fd, p.buf[kept:])
		if err == unix.EINTR {
			continue
		}
		if err != nil || n <= 0 {
			return err
		}
		rest := p.buf[:kept+n]
		for {
			end := bytes.IndexByte(rest, '\n')
			if end < 0 {
				break
			}
			do(rest[:end])
			rest = rest[end+1:]
		}
		kept = copy(p.buf, rest)
	}
}

// parseLine parses a line of proc_pid_net(5). The first line is a heading, for
// which it fails.
func (s *socket) parseLine(line []byte) bool {
	f := strings.Fields(string(line))
	if len(f) < 5 || !s.local.parse(f[1]) || !s.peer.parse(f[2]) {
		return false
	}
	state, ok := hexWord(f[3])
	out, in, queues := strings.Cut(f[4], ":")
	if !ok || !queues {
		return false
	}
	s.state = uint8(state)
	s.unacked, ok = hexWord(out)
	if ok {
		s.unread, ok = hexWord(in)
	}
	return ok
}

// parse parses "0100007F:1F90": words of 4 bytes in the machine's byte order,
// and the port.
func (e *endpoint) parse(s string) bool {
	ip, port, _ := strings.Cut(s, ":")
	to := e.ip[:]
	switch len(ip) {
	case 8:
		e.ip = mapped
		to = to[12:]
	case 32:
	default:
		return false
	}
	for ; len(ip) > 0; ip, to = ip[8:], to[4:] {
		word, ok := hexWord(ip[:8])
		if !ok {
			return false
		}
		binary.NativeEndian.PutUint32(to, word)
	}
	word, ok := hexWord(port)
	e.port = uint16(word)
	return ok && word <= 0xffff
}

func hexWord(s string) (uint32, bool) {
	n, err := strconv.ParseUint(s, 16, 32)
	return uint32(n), err == nil
}

func number(s string) uint64 {
	n, _ := strconv.ParseUint(s, 10, 64)
	return n
}
