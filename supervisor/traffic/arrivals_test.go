package traffic

import (
	"net"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"
)

// With NewOnly, what counts is who comes in, and that once.
func TestNewOnly(t *testing.T) {
	each(t, func(t *testing.T, w *Watcher, s *server) {
		old, oldServer := s.connect()
		reset, resetServer := s.connect()
		look(t, w)
		w.NewOnly = true
		if _, ok := w.source.(*diag); ok { // which has not remembered anyone yet
			w.arrivals = arrivals{}
			look(t, w)
		}
		var before time.Time
		// The kernel tells of an end a moment later, from a work queue. A machine
		// may be so slow that it is too late.
		comes := func(what string, come func()) {
			t.Helper()
			for until := time.Now().Add(5 * time.Second); !look(t, w).Active.After(before); rest() {
				if time.Now().After(until) {
					t.Errorf("%s: not seen", what)
					return
				}
				come()
			}
			rest()
			look(t, w) // what has been delayed is over
			before = time.Now()
		}
		none := func(what string) {
			t.Helper()
			for range 3 {
				if l := look(t, w); l.Active.After(before) {
					t.Errorf("%s: taken for new: %+v", what, l)
				}
				rest()
			}
			before = time.Now()
		}
		before = time.Now()
		exchange := func(client, server net.Conn) {
			send(t, client, server, 100)
			send(t, server, client, 100)
		}
		exchange(old, oldServer)
		none("a request on an old connection")
		var client, server net.Conn
		comes("a connection", func() { client, server = s.connect() })
		exchange(client, server)
		none("a request on it, the next time")
		var waiting net.Conn
		comes("a connection in the backlog", func() { waiting = s.dial() })
		accepted, err := s.l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer accepted.Close()
		exchange(waiting, accepted)
		none("the same, accepted")
		comes("came and went", func() {
			client, server := s.connect()
			exchange(client, server)
			server.Close()
			client.Close()
		})
		none("TIME_WAIT")
		exchange(old, oldServer)
		old.Close()
		oldServer.Close()
		none("the end of an old connection")
		if err := reset.SetLinger(0); err != nil {
			t.Fatal(err)
		}
		reset.Close()
		none("an old connection that is reset")
		resetServer.Close()
		none("and that the app closes later")
	})
}

// A connection keeps its cookie from SYN_RECV on, in which state a listener
// with TCP_DEFER_ACCEPT keeps it until there is something to read.
func TestNewOnlyDeferred(t *testing.T) {
	newNamespace(t)
	s := listen(t, "127.0.0.1:0", "127.0.0.1")
	raw, err := s.l.(*net.TCPListener).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if err := raw.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_DEFER_ACCEPT, 30)
	}); err != nil {
		t.Fatal(err)
	}
	w := &Watcher{NewOnly: true}
	sources[0].open(t, w)
	client := s.dial()
	if l := look(t, w); l.Open != 1 || l.Active.IsZero() {
		t.Fatalf("SYN_RECV: %+v", l)
	}
	before := time.Now()
	if _, err := client.Write([]byte("request")); err != nil {
		t.Fatal(err)
	}
	accepted, err := s.l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer accepted.Close()
	if l := look(t, w); l.Open != 1 || l.Active.After(before) {
		t.Errorf("established: %+v", l)
	}
}

// crowd is a source that shows what it is told to.
type crowd struct {
	there []socket
	ended []socket // since the last look
}

func (c *crowd) close() {}

func (c *crowd) read(w *Watcher) error {
	now := time.Now()
	w.look.Open, w.look.Busy = 0, 0
	for _, s := range append(c.there, c.ended...) {
		w.see(&s, now)
	}
	c.ended = nil
	return nil
}

func busyConn(id int) socket {
	return *conn(func(s *socket) {
		s.id, s.dataReceived, s.dataSent, s.ackReceived = id, 0, 0, 0
	})
}

func newCrowd(n int) (*Watcher, *crowd) {
	c := &crowd{}
	for id := range n {
		c.there = append(c.there, busyConn(id))
	}
	return &Watcher{NewOnly: true, source: c, listeners: []endpoint{{port: 80}}}, c
}

// Clients that always ask, while others come and go: what is told apart, over
// time.
func TestArrivals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const every = 250 * time.Millisecond
		w, c := newCrowd(100)
		look(t, w)
		var last time.Time // arrival
		var ended []socket
		for n := range 400 {
			time.Sleep(every)
			switch s := busyConn(1000 + n); n {
			case 10, 11, 200: // stays
				c.there = append(c.there, s)
				last = time.Now()
			case 50: // has come and gone
				s.state, s.dataReceived, s.ackReceived = closed, 20, 249
				c.ended = append(c.ended, s)
				last = time.Now()
			case 60: // old ones end
				for _, s := range c.there[:50] {
					s.state = closed
					c.ended = append(c.ended, s)
				}
				c.there = c.there[50:]
			case 70: // is reset
				c.there = c.there[1:]
			case 80: // has been reset at 70, and the app closes it now
				s.id, s.state, s.dataReceived, s.dataSent, s.ackReceived = 50, closed, 2400, 2500, 2600
				c.ended = append(c.ended, s)
			case 90: // ends, which the kernel tells of a moment later
				c.ended = append(c.ended, c.there[0])
				c.ended[0].state = closed
				c.there = c.there[1:]
				ended, c.ended = c.ended, nil
			case 91:
				c.ended = ended
			case 100: // a peer that does not answer the SYN-ACK
				s.state, s.id = synRecv, 5000
				c.there = append(c.there, s)
				last = time.Now()
			case 101, 104, 112: // still
				c.there[len(c.there)-1].retrans++
			}
			if l := look(t, w); !l.Active.Equal(last) {
				t.Fatalf("look %d: active at %v, want %v", n, l.Active, last)
			}
		}
		if len(w.arrivals.seen) != len(c.there) {
			t.Errorf("%d are remembered, %d are there", len(w.arrivals.seen), len(c.there))
		}
	})
}

// Fifty thousand connections, of which some always go and others come, and one
// too many.
func TestArrivalsAreBounded(t *testing.T) {
	const n, churn = 50_000, 500
	w, c := newCrowd(n)
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	without := heap()
	for round := range 50 {
		look(t, w)
		for i := range churn {
			c.there[(round*churn+i)%n].id = n + round*churn + i
		}
	}
	grown := int64(heap()) - int64(without)
	t.Logf("%d connections: %d kB", n, grown/1000)
	if len(w.arrivals.seen) > n+maxLate*churn || grown > 4<<20 {
		t.Errorf("%d are remembered, in %d bytes", len(w.arrivals.seen), grown)
	}
	runtime.KeepAlive(c)

	w, _ = newCrowd(maxSeen + 50_000)
	if _, err := w.Look(); err == nil || !strings.Contains(err.Error(), "too many connections") {
		t.Errorf("more than that: %v", err)
	}
	if len(w.arrivals.seen) != maxSeen {
		t.Errorf("%d are remembered", len(w.arrivals.seen))
	}
}
