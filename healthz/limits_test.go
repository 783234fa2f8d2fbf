package healthz

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
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
			time.Sleep(short) // the deadline that must not be there
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

// TestRoom: with every slot held by clients that hold back, a new one is still answered, and at once.
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

// TestLastLook: a connection that has to make room still answers the request that has come already, and then ends.
func TestLastLook(t *testing.T) {
	s := newServer(t)
	c, client := connected(t, s)
	c.ready() // nothing has come
	io.WriteString(client, get)
	if s.evict() {
		t.Fatal("chosen at once")
	}
	s.now += s.limits.settled
	if !s.evict() || c.fd >= 0 {
		t.Fatal("not chosen")
	}
	b, err := io.ReadAll(client)
	if err != nil || !strings.HasPrefix(string(b), "HTTP/1.1 200 ") || !strings.Contains(string(b), "\r\nConnection: close\r\n") {
		t.Errorf("got %q, %v", b, err)
	}
}

// TestLate: what has come while usher was stopped is answered, however long that was; and only what comes makes a wait longer.
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

// TestBurst: 2,000 clients at once, each on a connection of its own, are all answered; then 2,000 that say nothing do not
// keep the next from being answered.
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

// TestReuse: what a connection leaves does not show in the next one, which has its place.
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
