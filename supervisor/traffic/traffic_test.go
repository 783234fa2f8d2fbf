package traffic

import (
	"fmt"
	"net"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Whatever comes in or moves is seen at the next look, and what rests is not.
func TestActive(t *testing.T) {
	each(t, func(t *testing.T, w *Watcher, s *server) {
		before := time.Now()
		moved := func(what string, want bool) {
			t.Helper()
			got := look(t, w).Active.After(before)
			// The kernel tells of an end a moment later, from a work queue. A machine may
			// be that slow.
			for until := time.Now().Add(5 * time.Second); got != want && time.Now().Before(until); time.Sleep(time.Millisecond) {
				if !want {
					before = time.Now()
					rest()
				}
				got = look(t, w).Active.After(before)
			}
			if got != want {
				t.Errorf("%s: active %v, want %v", what, got, want)
			}
			rest()
			look(t, w) // what has been delayed is over
			before = time.Now()
		}
		moved("nobody there", false)
		client, server := s.connect()
		moved("a connection has come in", true)
		moved("idle", false)
		send(t, client, server, 1)
		moved("a request", true)
		moved("idle", false)
		send(t, server, client, 1)
		moved("an answer", true)
		moved("idle", false)
		for range 2 {
			client, server := s.connect()
			server.Close()
			client.Close()
			moved("came and went", true)
		}
		moved("TIME_WAIT", false)
		client2, server2 := s.connect()
		client2.Close()
		server2.Close()
		moved("came and went, the client first", true)
		s.dial()
		moved("a connection in the backlog", true)
		moved("still in the backlog", false)
		if l := look(t, w); l.Open != 2 {
			t.Errorf("%+v: want 2 open", l)
		}
	})
}

// A connection that comes and goes between two looks is seen, although there is
// no other connection. It does not matter which end closes first.
func TestCameAndWent(t *testing.T) {
	each(t, func(t *testing.T, w *Watcher, s *server) {
		for _, newOnly := range []bool{false, true} {
			for _, first := range []string{"client", "server"} {
				w.NewOnly = newOnly
				before := time.Now()
				one, other := s.connect()
				if first == "server" {
					one, other = other, one
				}
				one.Close()
				other.Close()
				for until := time.Now().Add(5 * time.Second); !look(t, w).Active.After(before); time.Sleep(time.Millisecond) {
					if time.Now().After(until) {
						t.Fatalf("the %s closed first, new ones only %v: not seen", first, newOnly)
					}
				}
				rest()
				look(t, w)
				before = time.Now()
				if l := look(t, w); l.Active.After(before) || l.Open != 0 {
					t.Errorf("gone: %+v", l)
				}
			}
		}
	})
}

// A connection that the app makes does not hide one that has come and gone.
func TestOutboundHidesNothing(t *testing.T) {
	dir := t.TempDir() + "/"
	const (
		heading  = "  sl  local_address rem_address   st tx_queue rx_queue\n"
		listener = "   0: 00000000:1F90 00000000:0000 0A 00000000:00000000\n"
		outbound = "   1: 0200000A:9C40 0300000A:1538 01 00000000:00000000\n"
	)
	write := func(sockets string, accepted int) {
		t.Helper()
		numbers := fmt.Sprintf("Tcp: 1 200 120000 -1 5 %d 0 0 1 0 0 0 0 0 0\n", accepted)
		for name, text := range map[string]string{"tcp": heading + sockets, "snmp": "Tcp: names\n" + numbers} {
			if err := os.WriteFile(dir+name, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	w := &Watcher{source: &proc{dir: dir}}
	write(listener, 7)
	look(t, w)
	write(listener+outbound, 7)
	if l := look(t, w); !l.Active.IsZero() || l.Open != 0 {
		t.Errorf("outbound: %+v", l)
	}
	write(listener+outbound+strings.ReplaceAll(outbound, "9C40", "9C41"), 8)
	if l := look(t, w); l.Active.IsZero() {
		t.Errorf("one came and went: %+v", l)
	}
}

// What the namespace connects to outside of it is not inbound.
func TestOutbound(t *testing.T) {
	for _, src := range sources {
		t.Run(src.name, func(t *testing.T) {
			t.Parallel()
			newNamespace(t)
			// A server on the other end is inbound on loopback. An address that nobody has
			// makes for an attempt at least.
			w := &Watcher{}
			src.open(t, w)
			fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer unix.Close(fd)
			_ = unix.Connect(fd, &unix.SockaddrInet4{Port: 80, Addr: [4]byte{192, 0, 2, 1}})
			if l := look(t, w); l.Open != 0 || !l.Active.IsZero() {
				t.Errorf("%+v", l)
			}
		})
	}
}

// Closing a connection that has rested is no traffic: a load balancer that lets
// go does that.
func TestIdleClosed(t *testing.T) {
	newNamespace(t)
	s := listen(t, "127.0.0.1:0", "127.0.0.1")
	w := &Watcher{}
	sources[0].open(t, w)
	client, server := s.connect()
	send(t, client, server, 1)
	for range 5 {
		rest()
	}
	before := time.Now()
	client.Close()
	server.Close()
	rest() // so much later it may seem at most
	if l := look(t, w); l.Active.After(before) || l.Open != 0 {
		t.Errorf("%+v: active %v after", l, l.Active.Sub(before))
	}
}

// Keep-alive probes move no bytes.
func TestKeepAliveProbes(t *testing.T) {
	newNamespace(t)
	s := listen(t, "127.0.0.1:0", "127.0.0.1")
	client, server := s.connect()
	for _, c := range []*net.TCPConn{client, server} {
		if err := c.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: time.Second, Interval: time.Second}); err != nil {
			t.Fatal(err)
		}
	}
	w := &Watcher{}
	sources[0].open(t, w)
	rest()
	before, segments := time.Now(), segmentsOut(t)
	for deadline := before.Add(10 * time.Second); segmentsOut(t) == segments; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("no probe was sent")
		}
	}
	rest()
	if l := look(t, w); l.Active.After(before) || l.Busy != 0 {
		t.Errorf("%+v: active %v after", l, l.Active.Sub(before))
	}
}

func segmentsOut(t *testing.T) uint64 {
	p := &proc{dir: "/proc/thread-self/net/"}
	if err := p.read(&Watcher{}); err != nil {
		t.Fatal(err)
	}
	return p.segments
}

func TestIgnored(t *testing.T) {
	each(t, func(t *testing.T, w *Watcher, s *server) {
		before := time.Now()
		ignored := func(what string) {
			t.Helper()
			client, server := s.connect()
			// The fallback can't tell whose bytes they are, as long as another connection
			// is open: here is none.
			send(t, client, server, 1)
			send(t, server, client, 1)
			if l := look(t, w); l.Open != 0 || l.Busy != 0 || l.Active.After(before) {
				t.Errorf("%s: %+v", what, l)
			}
			server.Close()
			client.Close()
			if l := look(t, w); l.Active.After(before) {
				t.Errorf("%s, gone: %+v", what, l)
			}
			for range 2 {
				client, server := s.connect()
				server.Close()
				client.Close()
				client, server = s.connect()
				client.Close()
				server.Close()
			}
			if l := look(t, w); l.Active.After(before) {
				t.Errorf("%s, came and went: %+v", what, l)
			}
		}
		at := s.l.Addr().(*net.TCPAddr)
		w.Ports = []uint16{uint16(at.Port)}
		ignored("the watcher's own port")
		w.Ports = nil
		w.Own = func(port uint16) bool { return port != uint16(at.Port) }
		ignored("the watcher's own client")
		w.Own = nil
		w.Ignore = []Net{mustNet("127.0.0.0/8"), mustNet("::1")}
		ignored("a peer to be ignored")
		w.Ignore = []Net{mustNet("10.0.0.0/8"), mustNet("fd00::/8")}
		s.connect()
		if l := look(t, w); !l.Active.After(before) || l.Open != 1 {
			t.Errorf("neither: %+v", l)
		}
	})
}

func mustNet(s string) Net {
	n, err := ParseNet(s)
	if err != nil {
		panic(err)
	}
	return n
}

// What an end of the app would cut off.
func TestBusy(t *testing.T) {
	for _, family := range families {
		t.Run(family.name, func(t *testing.T) {
			t.Parallel()
			newNamespace(t)
			s := listen(t, family.listen, family.dial)
			w := &Watcher{}
			sources[0].open(t, w)
			busy := func(what string, want int) {
				t.Helper()
				if l := look(t, w); l.Busy != want {
					t.Errorf("%s: %+v, want %d busy", what, l, want)
				}
			}
			client, server := s.connect()
			busy("nothing sent", 0)
			if _, err := client.Write([]byte("request")); err != nil {
				t.Fatal(err)
			}
			rest()
			busy("a request that nobody has read", 1)
			server.Read(make([]byte, 100))
			busy("a request that is being worked on", 1)
			rest()
			send(t, server, client, 100)
			rest()
			busy("answered", 0)

			// Between an answer and the next request less than a jiffy may pass, as within
			// an exchange.
			for i := range 8 {
				for range i {
					send(t, client, server, 100)
					send(t, server, client, 100)
				}
				rest()
				busy(fmt.Sprintf("%d quick exchanges", i), 0)
				for range i {
					send(t, client, server, 100)
					send(t, server, client, 100)
				}
				send(t, client, server, 100)
				rest()
				busy(fmt.Sprintf("a request after %d quick exchanges", i), 1)
				send(t, server, client, 100)
				rest()
			}

			// More than the buffers on both sides hold.
			for deadline := time.Now().Add(5 * time.Second); look(t, w).Busy == 0 && time.Now().Before(deadline); {
				server.SetWriteDeadline(time.Now().Add(50 * time.Millisecond))
				server.Write(make([]byte, 1<<20))
			}
			rest()
			busy("an answer that is being sent", 1)
			client.Close()
			server.Close()

			client, server = s.connect()
			send(t, client, server, 1)
			client.CloseWrite()
			rest()
			busy("a request that ends the client's side", 1)
			send(t, server, client, 1)
			rest()
			busy("and its answer", 0)
		})
	}
}

// Where queues are all there is, every open connection may be busy.
func TestBusyProc(t *testing.T) {
	newNamespace(t)
	s := listen(t, "127.0.0.1:0", "127.0.0.1")
	w := &Watcher{}
	sources[1].open(t, w)
	client, server := s.connect()
	if l := look(t, w); l.Busy != 1 {
		t.Errorf("open: %+v", l)
	}
	server.Close()
	client.Close()
	rest()
	if l := look(t, w); l.Busy != 0 {
		t.Errorf("closed: %+v", l)
	}
}

// Go's servers listen with MPTCP unless told otherwise.
func TestMPTCP(t *testing.T) {
	each(t, func(t *testing.T, w *Watcher, s *server) {
		d := net.Dialer{}
		d.SetMultipathTCP(true)
		c, err := d.Dial("tcp", s.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		server, err := s.l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer server.Close()
		if ok, err := c.(*net.TCPConn).MultipathTCP(); !ok || err != nil {
			t.Skip("no MPTCP here")
		}
		if l := look(t, w); l.Open != 1 || l.Active.IsZero() {
			t.Errorf("connected: %+v", l)
		}
		rest()
		look(t, w)
		before := time.Now()
		send(t, server, c, 1)
		if l := look(t, w); !l.Active.After(before) {
			t.Errorf("moved: %+v", l)
		}
	})
}

// No privileges are needed.
func TestNotRoot(t *testing.T) {
	newNamespace(t)
	s := listen(t, "127.0.0.1:0", "127.0.0.1")
	// This thread only, as bare system calls do it; it ends with the test.
	if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, 65534, 65534, 65534); errno != 0 {
		t.Fatal(errno)
	}
	w := &Watcher{}
	sources[0].open(t, w)
	client, server := s.connect()
	if l := look(t, w); l.Open != 1 || l.Active.IsZero() {
		t.Errorf("%+v", l)
	}
	rest()
	client.Close()
	server.Close()
	before := time.Now()
	client, server = s.connect()
	client.Close()
	server.Close()
	for until := time.Now().Add(2 * time.Second); ; time.Sleep(time.Millisecond) {
		if l := look(t, w); l.Open == 0 && l.Active.After(before) {
			break
		} else if time.Now().After(until) {
			t.Fatalf("came and went: %+v", l)
		}
	}
}

// Ten thousand idle connections, and one that isn't. Most stay in a backlog:
// that takes a descriptor less.
func TestMany(t *testing.T) {
	for _, src := range sources {
		t.Run(src.name, func(t *testing.T) {
			newNamespace(t)
			s := listen(t, "127.0.0.1:0", "127.0.0.1")
			w := &Watcher{}
			src.open(t, w)
			client, server := s.connect()
			for n := range 9_999 {
				if n%3_000 == 0 { // net.core.somaxconn is 4096
					s = listen(t, "127.0.0.1:0", "127.0.0.1")
				}
				s.dial()
			}
			rest()
			look(t, w)
			before := time.Now()
			send(t, client, server, 1)
			var was, is runtime.MemStats
			runtime.ReadMemStats(&was)
			began := time.Now()
			l := look(t, w)
			took := time.Since(began)
			runtime.ReadMemStats(&is)
			if l.Open != 10_000 || !l.Active.After(before) {
				t.Errorf("%+v", l)
			}
			t.Logf("%v, %d bytes allocated", took, is.TotalAlloc-was.TotalAlloc)
			if src.name == "sock_diag" && is.TotalAlloc-was.TotalAlloc > 1<<20 {
				t.Errorf("a look allocates %d bytes", is.TotalAlloc-was.TotalAlloc)
			}
		})
	}
}

// refuse makes a system call fail on this thread if its first argument is arg.
func refuse(t *testing.T, number, arg uint32) {
	t.Helper()
	filter := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: 0},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: number, Jf: 3},
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: 16}, // seccomp_data.args[0], its lower half
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: arg, Jf: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(unix.EAFNOSUPPORT)},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		t.Skip(err)
	}
	prog := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	if err := unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(&prog)), 0, 0); err != nil {
		t.Skip(err)
	}
}

// As gVisor and strict seccomp profiles have it.
func TestFallback(t *testing.T) {
	runtime.LockOSThread()
	refuse(t, unix.SYS_SOCKET, unix.AF_NETLINK)
	w := &Watcher{}
	fallback, err := w.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if got := fmt.Sprint(fallback); got != "cannot open sock_diag: address family not supported by protocol" {
		t.Error(got)
	}
	if _, ok := w.source.(*proc); !ok {
		t.Errorf("%T", w.source)
	}
}

func TestProcErrors(t *testing.T) {
	dir := t.TempDir() + "/"
	fails := func(want string) {
		t.Helper()
		w := &Watcher{source: &proc{dir: dir}}
		if _, err := w.Look(); err == nil || err.Error() != fmt.Sprintf(want, dir) {
			t.Errorf("got %v, want "+want, err, dir)
		}
	}
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(dir+name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	fails("cannot read %stcp: no such file or directory")
	write("tcp", "heading\n")
	fails("cannot read %ssnmp: no such file or directory") // without IPv6 there is no tcp6
	write("snmp", "Tcp: RtoAlgorithm RtoMin\nTcp: 1 200\n")
	fails("cannot read %ssnmp: no line of numbers that begins with Tcp")
}
