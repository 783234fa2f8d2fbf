package resolve

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// TestDnsmasq asks a real name server, and compares with package net's
// resolver.
func TestDnsmasq(t *testing.T) {
	path, err := exec.LookPath("dnsmasq")
	if err != nil {
		t.Skip("dnsmasq is not installed (apt-get install dnsmasq-base)")
	}
	port := freePort(t)
	var many []string
	for i := range 60 {
		many = append(many, fmt.Sprintf("10.1.0.%d many.example", i+1))
	}
	hosts := filepath.Join(t.TempDir(), "hosts")
	if err := os.WriteFile(hosts, []byte("10.0.0.1 db.ns.svc\nfd00::1 db.ns.svc\n10.0.0.2 v4.example\nfd00::2 v6.example\n"+strings.Join(many, "\n")+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, "--keep-in-foreground", "--log-facility=-", fmt.Sprintf("--port=%d", port), "--listen-address=127.0.0.1", "--bind-interfaces",
		"--no-resolv", "--no-hosts", "--conf-file=/dev/null", "--addn-hosts="+hosts, "--cname=alias.example,v4.example", "--user=", "--pid-file=",
		"--local=/svc/", "--local=/example/", "--local=/ns/")
	out := new(strings.Builder)
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		if t.Failed() {
			t.Log(out)
		}
	})
	f := write(t, "", "nameserver 127.0.0.1\nsearch ns.svc svc\noptions ndots:5", port)
	for deadline := time.Now().Add(10 * time.Second); lookup(t, f, "v4.example", time.Second) != "10.0.0.2"; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("dnsmasq does not answer: " + lookup(t, f, "v4.example", time.Second))
		}
	}
	reference := net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, fmt.Sprintf("127.0.0.1:%d", port))
	}}
	for host, want := range map[string]string{
		"db": "10.0.0.1 fd00::1", "db.ns": "10.0.0.1 fd00::1", "db.ns.svc": "10.0.0.1 fd00::1", "DB.ns.svc.": "10.0.0.1 fd00::1",
		"v4.example": "10.0.0.2", "v6.example": "fd00::2", "alias.example": "10.0.0.2",
		"db.":         `cannot resolve "db.": name server 127.0.0.1: response code 5`, // it knows no other server
		"no.example.": `no such host "no.example."`, "a..b": `no such host "a..b"`,
	} {
		if got := lookup(t, f, host, 5*time.Second); got != want {
			t.Errorf("%s: %s, want %s", host, got, want)
		}
		if strings.HasSuffix(host, ".example") || strings.HasSuffix(host, ".svc") {
			theirs, err := reference.LookupHost(t.Context(), host+".")
			for _, addr := range theirs {
				if !strings.Contains(want, addr) {
					t.Errorf("%s: package net has %v, %v", host, theirs, err)
				}
			}
		}
	}
	if got := strings.Fields(lookup(t, f, "many.example", 5*time.Second)); len(got) != 60 {
		t.Errorf("%d of 60 addresses, over TCP", len(got))
	}
}

func freePort(t testing.TB) uint16 {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return uint16(l.Addr().(*net.TCPAddr).Port)
}

// serve answers each datagram to addr with the result of reply, unless that is
// nil.
func serve(t *testing.T, addr string, reply func(query []byte) [][]byte) (port uint16) {
	t.Helper()
	pc, err := net.ListenPacket("udp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { pc.Close() })
	go func() {
		b := make([]byte, 512)
		for {
			n, from, err := pc.ReadFrom(b)
			if err != nil {
				return
			}
			for _, msg := range reply(b[:n]) {
				pc.WriteTo(msg, from)
			}
		}
	}()
	return uint16(pc.LocalAddr().(*net.UDPAddr).Port)
}

// ten answers A with 10.0.0.1, and AAAA with nothing.
func ten(query []byte, flags uint16) []byte {
	if binary.BigEndian.Uint16(query[len(query)-4:]) == typeAAAA {
		return answer(query, flagRecursion|flags)
	}
	return answer(query, flagRecursion|flags, record(typeA, "\x0a\x00\x00\x01"))
}

// TestServers has failures between a stub resolver and its servers, which the
// resolver has to survive.
func TestServers(t *testing.T) {
	const one, two = "nameserver 127.0.0.1\n", "nameserver 127.0.0.1\nnameserver 127.0.0.2\n"
	for _, tt := range []struct {
		name, resolv, want string
		reply              func(query []byte, n int) [][]byte
	}{
		{"fine", one, "10.0.0.1", func(q []byte, _ int) [][]byte { return [][]byte{ten(q, 0)} }},
		{"the first datagram is lost", one, "10.0.0.1", func(q []byte, n int) [][]byte {
			if n == 1 {
				return nil
			}
			return [][]byte{ten(q, 0)}
		}},
		{"others' answers come first", one, "10.0.0.1", func(q []byte, _ int) [][]byte {
			forged := answer(q, 0, record(typeA, "\x06\x06\x06\x06"))
			forged[1]++
			return [][]byte{nil, {1}, forged, answer(append(q[:headerLen:headerLen], "\x04evil\x00\x00\x01\x00\x01"...), 0, record(typeA, "\x06\x06\x06\x06")), ten(q, 0)}
		}},
		{"server failure", one, `cannot resolve "db": name server 127.0.0.1: response code 2`, func(q []byte, _ int) [][]byte { return [][]byte{answer(q, 2)} }},
		{"referral", one, `cannot resolve "db": name server 127.0.0.1: it refers to other servers`, func(q []byte, _ int) [][]byte { return [][]byte{answer(q, 0)} }},
		{"malformed", one, `cannot resolve "db": name server 127.0.0.1: malformed answer`, func(q []byte, _ int) [][]byte { return [][]byte{answer(q, 0, "\xff")} }},
		{"no such name", two, `no such host "db"`, func(q []byte, _ int) [][]byte { return [][]byte{answer(q, codeUnknown)} }},
		{"cut, and no TCP", one, "10.0.0.1", func(q []byte, _ int) [][]byte { return [][]byte{ten(q, flagTruncated)} }},
		{"nothing", one, "file", func([]byte, int) [][]byte { return nil }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var n atomic.Int32
			port := serve(t, "127.0.0.1:0", func(q []byte) [][]byte { return tt.reply(q, int(n.Add(1))) })
			want, timeout := tt.want, 5*time.Second
			if want == "file" { // 1 s, as a check's
				want, timeout = os.ErrDeadlineExceeded.Error(), time.Second
			}
			// Either the lookup or its last try times out first.
			if got := lookup(t, write(t, "", tt.resolv, port), "db", timeout); got != want && (tt.want != "file" || !strings.HasSuffix(got, want)) {
				t.Errorf("got %s, want %s", got, want)
			}
		})
	}
	t.Run("a dead server, and one that refuses, before a good one", func(t *testing.T) {
		port := serve(t, "127.0.0.1:0", func([]byte) [][]byte { return nil })
		serve(t, fmt.Sprintf("127.0.0.3:%d", port), func(q []byte) [][]byte { return [][]byte{ten(q, 0)} })
		f := write(t, "", two+"nameserver 127.0.0.3\n", port)
		if got := lookup(t, f, "db", 2*time.Second); got != "10.0.0.1" {
			t.Error(got)
		}
	})
	t.Run("nobody listens", func(t *testing.T) {
		f := write(t, "", one, freePort(t))
		if got, want := lookup(t, f, "db", 5*time.Second), `cannot resolve "db": name server 127.0.0.1: connection refused`; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	})
	t.Run("cancelled", func(t *testing.T) {
		f := write(t, "", one, serve(t, "127.0.0.1:0", func([]byte) [][]byte { return nil }))
		ctx, cancel := context.WithCancel(t.Context())
		began := time.Now()
		time.AfterFunc(20*time.Millisecond, cancel)
		if _, err := f.lookup(ctx, nil, "db"); err != os.ErrDeadlineExceeded || time.Since(began) > 4*time.Second {
			t.Errorf("%v after %v", err, time.Since(began))
		}
	})
}

// TestHalfAnswered: the server never answers for one kind of address, as if the
// network dropped AAAA. The other kind is enough, and soon. Before, the lookup
// used up all of its time and found nothing.
func TestHalfAnswered(t *testing.T) {
	six := record(typeAAAA, "\xfd"+strings.Repeat("\x00", 14)+"\x01")
	kind := func(q []byte) uint16 { return binary.BigEndian.Uint16(q[len(q)-4:]) }
	onlyA := func(q []byte) [][]byte {
		if kind(q) == typeAAAA {
			return nil
		}
		return [][]byte{ten(q, 0)}
	}
	const one = "nameserver 127.0.0.1\n"
	for _, tt := range []struct {
		name, resolv, host, want string
		reply                    func(q []byte) [][]byte
	}{
		{"AAAA", one, "db", "10.0.0.1", onlyA},
		{"AAAA, one question at a time", one + "options single-request", "db", "10.0.0.1", onlyA},
		{"AAAA, two servers", one + "nameserver 127.0.0.1\noptions rotate", "db", "10.0.0.1", onlyA},
		{"A", one, "db", "fd00::1", func(q []byte) [][]byte {
			if kind(q) == typeA {
				return nil
			}
			return [][]byte{answer(q, flagRecursion, six)}
		}},
		{"AAAA, of names that are not there", one + "search ns.svc.example svc.example example\noptions ndots:5", "db", "10.0.0.1", func(q []byte) [][]byte {
			switch {
			case kind(q) == typeAAAA:
				return nil
			case strings.Contains(string(q), "\x07example\x00"):
				return [][]byte{answer(q, codeUnknown)}
			}
			return [][]byte{ten(q, 0)}
		}},
		{"AAAA, and no such name", one, "db", `no such host "db"`, func(q []byte) [][]byte {
			if kind(q) == typeAAAA {
				return nil
			}
			return [][]byte{answer(q, codeUnknown)}
		}},
		{"none: AAAA is no name, and A late", one, "db", "10.0.0.1", func(q []byte) [][]byte {
			if kind(q) == typeAAAA {
				return [][]byte{answer(q, codeUnknown)}
			}
			time.Sleep(3 * secondAnswer)
			return [][]byte{ten(q, 0)}
		}},
		{"AAAA fails", one, "db", "10.0.0.1", func(q []byte) [][]byte {
			if kind(q) == typeAAAA {
				return [][]byte{answer(q, 2)}
			}
			return [][]byte{ten(q, 0)}
		}},
		{"none", one, "db", "10.0.0.1 fd00::1", func(q []byte) [][]byte {
			if kind(q) == typeAAAA {
				return [][]byte{answer(q, flagRecursion, six)}
			}
			return [][]byte{ten(q, 0)}
		}},
		{"none, and no-aaaa", one + "options no-aaaa", "db", "10.0.0.1", func(q []byte) [][]byte {
			if kind(q) == typeAAAA {
				return [][]byte{answer(q, flagRecursion, six)}
			}
			return [][]byte{ten(q, 0)}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := write(t, "", tt.resolv, serve(t, "127.0.0.1:0", tt.reply))
			began := time.Now()
			if got := lookup(t, f, tt.host, 20*time.Second); got != tt.want || time.Since(began) > 4*time.Second {
				t.Errorf("got %s after %v, want %s", got, time.Since(began), tt.want)
			}
		})
	}
}

// TestRotate: every server is the first one to be asked at some time.
func TestRotate(t *testing.T) {
	var first atomic.Int32
	port := serve(t, "127.0.0.1:0", func(q []byte) [][]byte { first.Add(1); return [][]byte{ten(q, 0)} })
	serve(t, fmt.Sprintf("127.0.0.2:%d", port), func(q []byte) [][]byte { return [][]byte{ten(q, 0)} })
	f := write(t, "", "nameserver 127.0.0.1\nnameserver 127.0.0.2\noptions rotate", port)
	for range 64 {
		if got := lookup(t, f, "db", 10*time.Second); got != "10.0.0.1" {
			t.Fatal(got)
		}
	}
	if n := first.Load(); n == 0 || n == 128 {
		t.Errorf("%d of 128 questions went to the first server", n)
	}
}

// TestUseVC: with use-vc, lookups use TCP, also if the server does not know
// AAAA.
func TestUseVC(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { c.Close() })
			var length [2]byte
			io.ReadFull(c, length[:])
			q := make([]byte, binary.BigEndian.Uint16(length[:]))
			io.ReadFull(c, q)
			if msg := ten(q, 0); binary.BigEndian.Uint16(q[len(q)-4:]) == typeA {
				c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(msg))), msg...))
			}
		}
	}()
	f := write(t, "", "nameserver 127.0.0.1\noptions use-vc", uint16(l.Addr().(*net.TCPAddr).Port))
	if got := lookup(t, f, "db", 20*time.Second); got != "10.0.0.1" {
		t.Error(got)
	}
}

// TestTCP: an answer over TCP is read completely, in whatever pieces it comes.
func TestTCP(t *testing.T) {
	var port uint16
	var l net.Listener
	for try := 0; l == nil; try++ { // until a port is free for both
		port = serve(t, "127.0.0.1:0", func(q []byte) [][]byte { return [][]byte{answer(q, flagTruncated|flagRecursion)} })
		var err error
		if l, err = net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err != nil && try > 20 {
			t.Fatal(err)
		}
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			var length [2]byte
			io.ReadFull(c, length[:])
			q := make([]byte, binary.BigEndian.Uint16(length[:]))
			io.ReadFull(c, q)
			msg := ten(q, 0)
			for _, b := range append(binary.BigEndian.AppendUint16(nil, uint16(len(msg))), msg...) {
				c.Write([]byte{b})
				time.Sleep(100 * time.Microsecond)
			}
			c.Close()
		}
	}()
	if got := lookup(t, write(t, "", "nameserver 127.0.0.1", port), "db", 5*time.Second); got != "10.0.0.1" {
		t.Error(got)
	}
}
