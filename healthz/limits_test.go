package healthz

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestDeadlines(t *testing.T) {
	const short, long = 60 * time.Millisecond, time.Minute
	all := limits{conns: 10, first: long, idle: long, request: long, write: long, linger: short, settled: long}
	with := func(change func(*limits)) func(*Server) {
		return func(s *Server) {
			l := all
			change(&l)
			s.limits = l
		}
	}
	t.Run("first", func(t *testing.T) {
		addr, _ := start(t, with(func(l *limits) { l.first = short }))
		wantClosed(t, dial(t, addr))
	})
	t.Run("idle", func(t *testing.T) {
		addr, _ := start(t, with(func(l *limits) { l.idle = short }))
		c := dial(t, addr)
		if err := ask(c); err != nil {
			t.Fatal(err)
		}
		wantClosed(t, c)
	})
	t.Run("idle is not cut by first", func(t *testing.T) {
		addr, _ := start(t, with(func(l *limits) { l.first = short }))
		c := dial(t, addr)
		for range 3 {
			if err := ask(c); err != nil {
				t.Fatal(err)
			}
			time.Sleep(short) // longer than the limit, which must not apply here
		}
	})
	t.Run("slowloris", func(t *testing.T) {
		addr, _ := start(t, with(func(l *limits) { l.request = 4 * short }))
		c := dial(t, addr)
		began := time.Now()
		go func() {
			for _, err := io.WriteString(c, "GET /livez HTTP/1.1\r\nHost: x\r\n"); err == nil; time.Sleep(short / 4) {
				_, err = io.WriteString(c, "A: b\r\n") // steady progress, and never an end
			}
		}()
		res, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil || res.StatusCode != 408 {
			t.Fatal(res, err)
		}
		if took := time.Since(began); took < 3*short || took > 40*short {
			t.Errorf("408 after %v", took)
		}
	})
	t.Run("does not read", func(t *testing.T) {
		addr, s := start(t, with(func(l *limits) { l.write = short }))
		c := dial(t, addr)
		c.(*net.TCPConn).SetReadBuffer(4096)
		batch := strings.Repeat(get, 1000)
		for {
			if _, err := io.WriteString(c, batch); err != nil {
				break // reset: the server has given up on us
			}
		}
		waitFor(t, "the connection to end", func() bool { return s.open.Load() == 0 })
	})
	t.Run("keeps sending after its 400", func(t *testing.T) {
		addr, s := start(t, with(func(l *limits) { l.linger = long }))
		c := dial(t, addr)
		io.WriteString(c, "nonsense\r\n\r\n")
		var sent int
		for err := error(nil); err == nil && sent < 1<<30; {
			var n int
			n, err = c.Write(make([]byte, 1<<16))
			sent += n
		}
		waitFor(t, "the connection to end", func() bool { return s.open.Load() == 0 })
		if sent > 64<<20 {
			t.Errorf("took %d bytes after the last answer", sent)
		}
	})
}

// TestRoom: while slow clients hold every slot, a new client still gets its
// answer, and at once.
func TestRoom(t *testing.T) {
	const conns = 8
	for _, tt := range []struct{ name, sent string }{
		{"silent", ""}, {"unfinished", "GET /livez HTTP/1.1\r\n"}, {"idle", get}, {"lingering", "nonsense\r\n\r\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			addr, s := start(t, func(s *Server) {
				l := defaultLimits
				l.conns = conns
				s.limits = l
			})
			var held []net.Conn
			for range conns {
				c := dial(t, addr)
				io.WriteString(c, tt.sent)
				held = append(held, c)
			}
			waitFor(t, "all slots to be taken", func() bool { return s.open.Load() == conns })
			began := time.Now()
			for range 3 * conns {
				wantOK(t, addr)
			}
			if took := time.Since(began); took > 5*time.Second {
				t.Errorf("took %v", took)
			}
			if n := int(s.open.Load()); n > conns {
				t.Errorf("%d connections, want at most %d", n, conns)
			}
			gone := make(chan bool, conns)
			for _, c := range held {
				go func() {
					_, err := io.Copy(io.Discard, c)
					gone <- !errors.Is(err, net.ErrClosed)
				}()
			}
			if !<-gone {
				t.Error("nobody has had to make room")
			}
		})
	}
}

// TestLastLook: a connection that has to make room still answers a request that
// has come already, and then ends.
func TestLastLook(t *testing.T) {
	s := newServer(t)
	c, client := connected(t, s)
	c.ready() // nothing has come
	io.WriteString(client, get)
	if s.victim() != nil {
		t.Fatal("chosen at once")
	}
	s.now += s.limits.settled
	if s.victim() != c {
		t.Fatal("not chosen")
	}
	if c.evict(); c.fd >= 0 {
		t.Fatal("still there")
	}
	b, err := io.ReadAll(client)
	if err != nil || !strings.HasPrefix(string(b), "HTTP/1.1 200 ") || !strings.Contains(string(b), "\r\nConnection: close\r\n") {
		t.Errorf("got %q, %v", b, err)
	}
}

// TestLate: requests that came while usher was stopped are answered, however
// long that was. Only received data makes a wait longer.
func TestLate(t *testing.T) {
	s := newServer(t)
	c, client := connected(t, s)
	late := func(rest string) {
		t.Helper()
		c.ready()
		deadline := c.deadline
		s.now = deadline - 1
		if c.ready(); c.deadline != deadline {
			t.Fatalf("longer by %v for nothing", c.deadline-deadline)
		}
		s.now++
		io.WriteString(client, rest)
		if c.expired(); c.fd < 0 {
			t.Fatal("ended")
		}
	}
	late("GET /livez HTTP/1.1\r\nHost: x\r\n") // the first bytes
	late("\r\n")
	if err := answered(client); err != nil {
		t.Fatal(err)
	}
	late(get)
	if err := answered(client); err != nil {
		t.Fatal(err)
	}
	s.now = c.deadline
	if c.expired(); c.fd >= 0 {
		t.Error("has not ended")
	}
}

// TestBurst: 2,000 clients at once, each on a connection of its own, all get an
// answer. Then 2,000 silent clients do not keep the next one from its answer.
func TestBurst(t *testing.T) {
	addr, s := start(t, nil)
	const clients = 2000
	var wg sync.WaitGroup
	errs := make(chan error, clients)
	for range clients {
		wg.Go(func() {
			c, err := net.DialTimeout("tcp", addr, 10*time.Second)
			if err == nil {
				defer c.Close()
				c.SetDeadline(time.Now().Add(10 * time.Second))
				err = ask(c)
			}
			if err != nil {
				errs <- err
			}
		})
	}
	wg.Wait()
	close(errs)
	for err := range errs {
		t.Fatalf("a client of the burst, and %d others: %v", len(errs), err)
	}
	for range clients {
		dial(t, addr)
	}
	wantOK(t, addr)
	if n := int(s.open.Load()); n > defaultLimits.conns {
		t.Errorf("%d connections, limit %d", n, defaultLimits.conns)
	}
}

// TestReuse: a connection's state does not show in the next connection that
// takes its place.
func TestReuse(t *testing.T) {
	s := newServer(t)
	for i := range 100 {
		for _, left := range []string{"GET /readyz HTTP/1.1\r\nHost: x\r\nA: " + strings.Repeat("a", 80*i), ""} {
			c, client := connected(t, s)
			io.WriteString(client, get)
			c.ready()
			if err := answered(client); err != nil {
				t.Fatal(err)
			}
			io.WriteString(client, left)
			c.ready()
			client.Close()
			if c.ready(); c.fd >= 0 {
				t.Fatal("the connection is still there")
			}
		}
	}
	if len(s.conns) != 1 {
		t.Errorf("%d places for one connection at a time", len(s.conns))
	}
}

// TestVictim: which connection goes first if there is no room, and that there
// is always one.
func TestVictim(t *testing.T) {
	s := newServer(t)
	open := func(sent string) *conn {
		t.Helper()
		c, client := connected(t, s)
		io.WriteString(client, sent)
		c.ready()
		if c.fd < 0 {
			t.Fatalf("%q: ended", sent)
		}
		return c
	}
	half := get + "GET /livez"
	kept, busy, fresh, silent := open(get), open(half), open("GET "), open("")
	for _, c := range []*conn{kept, busy, fresh, silent} {
		c.since -= s.limits.settled
	}
	last, busyLately := open(""), open(half)
	for i, want := range []*conn{kept, busy, fresh, silent, busyLately} {
		if got := s.victim(); got != want {
			t.Fatalf("%d: another has to go", i)
		}
		want.evict()
	}
	if s.victim() != nil {
		t.Fatal("it has had no time to ask")
	}
	s.waited = maxWaited
	if s.victim() != last {
		t.Error("it keeps others out, who have waited already")
	}
	s.waitedSince -= waitedPeriod + time.Second
	if s.victim() != nil {
		t.Error("that they have waited is long past")
	}
}

// TestFirstByteIsNoExcuse: data that a client sends before its first answer
// does not make its wait for that answer longer.
func TestFirstByteIsNoExcuse(t *testing.T) {
	s := newServer(t)
	c, client := connected(t, s)
	c.ready()
	s.now += s.limits.settled - 1
	io.WriteString(client, "GET ")
	c.ready()
	s.now++
	if s.victim() != c {
		t.Error("it could stay")
	}
}

// TestTurns: however many requests a client has sent, other clients have their
// turn after a few of them.
func TestTurns(t *testing.T) {
	s := newServer(t)
	c, client := connected(t, s)
	io.WriteString(client, strings.Repeat(get, 200))
	c.ready()
	fd := int(client.Fd())
	b, answers := make([]byte, 64<<10), 0
	for turn := 0; ; turn++ {
		n, _, err := unix.Recvfrom(fd, b, unix.MSG_DONTWAIT)
		if err != nil {
			t.Fatalf("%d answers, then %v", answers, err)
		}
		if n > maxOut+1024 {
			t.Errorf("%d bytes in a turn", n)
		}
		if answers += strings.Count(string(b[:n]), "\r\n\r\nok"); answers == 200 {
			if turn < 5 {
				t.Errorf("%d turns", turn)
			}
			return
		}
		if events, err := s.poll.Wait(time.Now().Add(5 * time.Second)); len(events) != 1 || err != nil {
			t.Fatalf("%d events, %v: the rest is not answered", len(events), err)
		}
		c.ready()
	}
}

// guarded is a listener whose clients can send descriptors, as on any unix
// socket before Linux 6.16.
type guarded struct{ listener }

func (guarded) Rights() bool { return true }

// TestGivenUp: connections with descriptors are not closed, and after some of
// them their socket is no longer served. Other sockets are.
func TestGivenUp(t *testing.T) {
	logged := make(chan string, 10)
	path := filepath.Join(t.TempDir(), "s")
	local, err := Listen("unix:" + path)
	if err != nil {
		t.Fatal(err)
	}
	if !local.Rights() { // so have it take them
		for fd := range 1024 {
			if sa, _ := unix.Getsockname(fd); sa != nil {
				if at, ok := sa.(*unix.SockaddrUnix); ok && strings.HasSuffix(at.Name, "/s") {
					unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_PASSRIGHTS, 1)
				}
			}
		}
	}
	addr, _ := start(t, func(s *Server) {
		s.logf = func(format string, args ...any) { logged <- fmt.Sprintf(format, args...) }
		if err := s.add(guarded{local}); err != nil {
			t.Fatal(err)
		}
	})
	ask := func() error {
		c, err := net.Dial("unix", path)
		if err != nil {
			return err
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(5 * time.Second))
		return ask(c)
	}
	for i := range maxParked {
		if err := ask(); err != nil {
			t.Fatalf("after %d: %v", i, err)
		}
		c, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := c.(*net.UnixConn).WriteMsgUnix([]byte(get), unix.UnixRights(0), nil); err != nil {
			t.Fatal(err)
		}
		c.SetDeadline(time.Now().Add(5 * time.Second))
		if b, err := io.ReadAll(c); len(b) > 0 || err != nil {
			t.Errorf("got %q, %v", b, err)
		}
		c.Close()
	}
	if line := <-logged; !strings.Contains(line, "sends descriptors") || len(logged) > 0 {
		t.Errorf("logged %q, and %d more", line, len(logged))
	}
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(50 * time.Millisecond))
	io.WriteString(c, get)
	if err := answered(c); err == nil {
		t.Error("the socket is still served")
	}
	wantOK(t, addr)
}
