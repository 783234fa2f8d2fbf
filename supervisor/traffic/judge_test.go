package traffic

import (
	"encoding/binary"
	"testing"
	"time"
)

// conn is a connection that has rested for a minute since its last exchange: a
// request, an answer 20 ms later, its acknowledgement.
func conn(change func(*socket)) *socket {
	s := &socket{
		local: endpoint{ip: ip("10.0.0.1"), port: 80}, peer: endpoint{ip: ip("10.0.0.2"), port: 40000}, state: established, info: true,
		dataReceived: 60_020, dataSent: 60_000, ackReceived: 59_960, segmentsIn: 5, segmentsOut: 5,
	}
	change(s)
	return s
}

func ip(s string) [16]byte { return mustNet(s).ip }

func TestJudgement(t *testing.T) {
	const never = -1
	for _, tt := range []struct {
		name   string
		change func(*socket)
		active time.Duration // how long before the look; never
		open   bool
		busy   bool
	}{
		{"idle", func(s *socket) {}, time.Minute, true, false},
		{"a request", func(s *socket) { s.dataReceived = 100 }, 100 * time.Millisecond, true, true},
		{"an answer", func(s *socket) { s.dataSent = 100 }, 100 * time.Millisecond, true, false},
		{"right now", func(s *socket) { s.dataSent = 0 }, 0, true, false},
		{"new", func(s *socket) {
			s.dataReceived, s.dataSent, s.ackReceived, s.segmentsIn, s.segmentsOut = 0, 0, 0, 0, 0
		}, 0, true, false},
		{"sent again and again in vain", func(s *socket) { s.dataSent, s.retrans, s.unacked = 100, 3, 10 }, 60_020 * time.Millisecond, true, true},
		{"unread", func(s *socket) { s.unread = 1 }, time.Minute, true, true},
		{"not acknowledged", func(s *socket) { s.unacked = 1 }, time.Minute, true, true},
		{"at once, the acknowledgement later", func(s *socket) { s.dataReceived, s.ackReceived, s.segmentsIn = 60_000, 59_960, 6 }, time.Minute, true, false},
		{"all at once, as many each way", func(s *socket) { s.dataReceived, s.ackReceived = 60_000, 60_000 }, time.Minute, true, false},
		{"all at once, a request more", func(s *socket) { s.dataReceived, s.ackReceived, s.segmentsIn = 60_000, 60_000, 6 }, time.Minute, true, true},
		{"the client has closed", func(s *socket) { s.state, s.unread = closeWait, 1 }, time.Minute, true, false},
		{"the client has closed, unread", func(s *socket) { s.state, s.unread = closeWait, 2 }, time.Minute, true, true},
		{"the app has closed", func(s *socket) { s.state, s.unread, s.dataReceived = 5, 1, 100 }, 100 * time.Millisecond, true, false},
		{"the app has closed, not acknowledged", func(s *socket) { s.state, s.unacked = 4, 100 }, time.Minute, true, true},
		{"SYN", func(s *socket) { s.state, s.info = synRecv, false }, 0, true, false},
		{"SYN, the peer is silent", func(s *socket) { s.state, s.info, s.retrans = synRecv, false, 1 }, never, true, false},
		{"gone", func(s *socket) { s.state, s.unacked = closed, 1 }, time.Minute, false, false},
		{"gone, and nothing known", func(s *socket) { s.state, s.info = closed, false }, 0, false, false},
		{"outbound", func(s *socket) { s.local.port = 40000 }, never, false, false},
		{"at another address", func(s *socket) { s.local = endpoint{ip("10.0.0.1"), 81} }, never, false, false},
		{"at that address", func(s *socket) { s.local = endpoint{ip("10.0.0.9"), 81} }, time.Minute, true, false},
		{"IPv6", func(s *socket) { s.local.ip, s.peer.ip = ip("fd00::1"), ip("fd00::2") }, time.Minute, true, false},
		{"the watcher's port", func(s *socket) { s.local.port = 8086 }, never, false, false},
		{"the watcher's client", func(s *socket) { s.peer = endpoint{ip("127.0.0.1"), 50000} }, never, false, false},
		{"the watcher's client, IPv6", func(s *socket) { s.peer = endpoint{ip("::1"), 50000} }, never, false, false},
		{"the watcher's client, own address", func(s *socket) { s.peer = endpoint{ip("10.0.0.1"), 50000} }, never, false, false},
		{"somebody else's client", func(s *socket) { s.peer.port = 50000 }, time.Minute, true, false},
		{"ignored", func(s *socket) { s.peer.ip = ip("192.168.3.4") }, never, false, false},
		{"ignored, IPv6", func(s *socket) { s.peer.ip = ip("fd01::7") }, never, false, false},
	} {
		w := &Watcher{Ports: []uint16{8086}, Own: func(port uint16) bool { return port == 50000 }, Ignore: []Net{mustNet("192.168.0.0/16"), mustNet("fd01::/16")}}
		now := time.Now()
		for _, at := range []endpoint{{port: 80}, {port: 80}, {ip: ip("10.0.0.9"), port: 81}, {ip: ip("0.0.0.0"), port: 8086}} {
			w.see(&socket{state: listening, local: at, info: true}, now)
		}
		if len(w.listeners) != 3 {
			t.Fatalf("listeners: %v", w.listeners)
		}
		w.see(conn(tt.change), now)
		got := time.Duration(never)
		if !w.look.Active.IsZero() {
			got = now.Sub(w.look.Active)
		}
		if want := max(tt.active-jiffy, min(tt.active, 0)); got != want {
			t.Errorf("%s: active %v ago, want %v", tt.name, got, want)
		}
		if (w.look.Open == 1) != tt.open || (w.look.Busy == 1) != tt.busy {
			t.Errorf("%s: %+v, want open %v, busy %v", tt.name, w.look, tt.open, tt.busy)
		}
		if w.blind {
			t.Errorf("%s: blind", tt.name)
		}
	}
	w := &Watcher{}
	w.see(&socket{state: listening, local: endpoint{port: 80}}, time.Now())
	w.see(conn(func(s *socket) { s.info = false }), time.Now())
	if !w.blind {
		t.Error("a connection of which nothing is known: not blind")
	}
}

func TestNet(t *testing.T) {
	for _, tt := range []struct {
		net      string
		in, outs []string
	}{
		{"10.0.0.0/8", []string{"10.0.0.0", "10.255.255.255"}, []string{"11.0.0.0", "9.255.255.255", "::a00:1", "a00::"}},
		{"10.1.2.3/8", []string{"10.0.0.1"}, []string{"11.0.0.1"}},
		{"192.168.4.0/23", []string{"192.168.4.1", "192.168.5.255"}, []string{"192.168.6.0", "192.168.3.0"}},
		{"0.0.0.0/0", []string{"1.2.3.4"}, []string{"::1"}},
		{"::/0", []string{"1.2.3.4", "::1"}, nil},
		{"127.0.0.1", []string{"127.0.0.1"}, []string{"127.0.0.2"}},
		{"fd00::/7", []string{"fc00::1", "fdff::"}, []string{"fe00::"}},
		{"::ffff:10.0.0.1", []string{"10.0.0.1"}, []string{"10.0.0.2"}},
	} {
		n, err := ParseNet(tt.net)
		if err != nil {
			t.Error(err)
		}
		for _, s := range tt.in {
			if at := ip(s); !n.contains(&at) {
				t.Errorf("%s is not in %s", s, tt.net)
			}
		}
		for _, s := range tt.outs {
			if at := ip(s); n.contains(&at) {
				t.Errorf("%s is in %s", s, tt.net)
			}
		}
	}
	for _, s := range []string{"", "x", "10.0.0.0/33", "10.0.0", "10.0.0.1:80", "localhost", "::1/129", "fe80::1%eth0", "10.0.0.0/", "10.0.0.0/-1", "10.0.0.0/300", "/8", "10.0.0.0/8/8"} {
		if _, err := ParseNet(s); err == nil {
			t.Errorf("%q is taken", s)
		}
	}
	if nets, err := ParseNets("10.0.0.1,fd00::1,10.2.0.0/16"); len(nets) != 3 || err != nil {
		t.Errorf("%v, %v", nets, err)
	}
	for _, s := range []string{"", ",", "10.0.0.1,", ",10.0.0.1", "10.0.0.1,,::1", "10.0.0.1,x"} {
		if _, err := ParseNets(s); err == nil {
			t.Errorf("%q is taken", s)
		}
	}
}

// A kernel before Linux 4.6 shows less of every socket, listening ones as well:
// it has to be found out before anything is missed.
func TestOldKernel(t *testing.T) {
	for _, size := range []int{104, minInfo - 8, minInfo, 280} {
		m := make([]byte, 16+72+4+size)
		binary.NativeEndian.PutUint32(m, uint32(len(m)))
		binary.NativeEndian.PutUint16(m[4:], sockDiagByFamily)
		m[16], m[17] = 2, listening
		binary.NativeEndian.PutUint16(m[16+72:], uint16(4+size))
		binary.NativeEndian.PutUint16(m[16+74:], diagInfo)
		w := &Watcher{}
		(&diag{}).messages(w, m, false)
		if w.blind != (size < minInfo) {
			t.Errorf("tcp_info of %d bytes: blind %v", size, w.blind)
		}
	}
}

func FuzzDiag(f *testing.F) {
	message := make([]byte, 16+72+4+minInfo)
	binary.NativeEndian.PutUint32(message, uint32(len(message)))
	binary.NativeEndian.PutUint16(message[4:], sockDiagByFamily)
	message[16], message[17] = 2, established
	binary.NativeEndian.PutUint16(message[16+72:], 4+minInfo)
	binary.NativeEndian.PutUint16(message[16+74:], diagInfo)
	f.Add(message)
	f.Add(append(message, 20, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 254, 255, 255, 255))
	f.Fuzz(func(t *testing.T, b []byte) {
		w := &Watcher{}
		now := time.Now()
		(&diag{}).messages(w, b, false)
		if w.look.Active.After(time.Now()) || w.look.Active.Before(now.Add(-1<<32*time.Millisecond)) && !w.look.Active.IsZero() {
			t.Errorf("active at %v", w.look.Active)
		}
	})
}

func TestLine(t *testing.T) {
	order := binary.NativeEndian.AppendUint16(nil, 1)
	if order[0] != 1 {
		t.Skip("the lines are a little-endian machine's")
	}
	for _, tt := range []struct {
		line string
		want socket
	}{
		{"   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1234 1 0000000000000000 100 0 0 10 0",
			socket{local: endpoint{ip("127.0.0.1"), 8080}, peer: endpoint{ip("0.0.0.0"), 0}, state: listening}},
		{"  12: 0000000000000000FFFF00000100007F:0050 0000000000000000FFFF00000200000A:9C40 01 0000000A:00000102 01:00000014 00000000  1000        0 5 1",
			socket{local: endpoint{ip("127.0.0.1"), 80}, peer: endpoint{ip("10.0.0.2"), 40000}, state: established, unacked: 10, unread: 258}},
		{"   1: 00000000000000000000000001000000:0050 B80D01200000000000000000EFBE0000:0001 08 00000000:00000000",
			socket{local: endpoint{ip("::1"), 80}, peer: endpoint{ip("2001:db8::beef"), 1}, state: closeWait}},
	} {
		var s socket
		if !s.parseLine([]byte(tt.line)) || s != tt.want {
			t.Errorf("%s: %+v", tt.line, s)
		}
	}
}

func FuzzLine(f *testing.F) {
	f.Add("  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode")
	f.Add("   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000")
	f.Add("   0: 00000000000000000000000001000000:1F90 00000000:10000 0A :")
	f.Fuzz(func(t *testing.T, line string) {
		var s socket
		if s.parseLine([]byte(line)) && s.local == (endpoint{}) && s.peer == (endpoint{}) && s.state == 0 && len(line) < 20 {
			t.Errorf("%q is taken", line)
		}
	})
}
