package resolve

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// write makes files of the given contents.
func write(t testing.TB, hosts, resolv string, port uint16) files {
	t.Helper()
	dir := t.TempDir()
	f := files{hosts: filepath.Join(dir, "hosts"), resolv: filepath.Join(dir, "resolv.conf"), port: port}
	if err := errors.Join(os.WriteFile(f.hosts, []byte(hosts), 0o644), os.WriteFile(f.resolv, []byte(resolv), 0o644)); err != nil {
		t.Fatal(err)
	}
	return f
}

func lookup(t testing.TB, f files, host string, timeout time.Duration) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	addrs, err := f.lookup(ctx, nil, host)
	if err != nil {
		return err.Error()
	}
	return strings.Trim(fmt.Sprint(addrs), "[]")
}

func TestHosts(t *testing.T) {
	f := write(t, "# 10.0.0.9 db\n127.0.0.1\tlocalhost\n10.0.0.1  DB db.example. # db2\n\n::2 db\nnonsense db\n10.0.0.3 db3 db3\nfe80::1%lo zoned\n10.0.0.4", "", 0)
	for host, want := range map[string]string{
		"db": "10.0.0.1 ::2", "Db": "10.0.0.1 ::2", "db.": "10.0.0.1 ::2", "db.example": "10.0.0.1", "db3": "10.0.0.3", "zoned": "fe80::1%lo",
		"192.0.2.1": "192.0.2.1", "::1": "::1",
	} {
		if got := lookup(t, f, host, time.Second); got != want {
			t.Errorf("%s: %s, want %s", host, got, want)
		}
	}
	if addrs := fromHosts("# 10.0.0.9 db\n10.0.0.1 db # db2", "db2"); addrs != nil {
		t.Errorf("from a comment: %v", addrs)
	}
}

func TestConfig(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{"", "[127.0.0.1 ::1] [] 1 5s 2"},
		{"nameserver 10.96.0.10\nsearch ns.svc.cluster.local svc.cluster.local cluster.local\noptions ndots:5",
			"[10.96.0.10] [ns.svc.cluster.local svc.cluster.local cluster.local] 5 5s 2"},
		{"; nameserver 1.1.1.1\n#nameserver 1.1.1.2\nnameserver\t127.0.0.11 # Docker's\nnameserver nonsense\nnameserver fe80::1%lo\n",
			"[127.0.0.11 fe80::1%lo] [] 1 5s 2"},
		{"nameserver 1.1.1.1\nnameserver 1.1.1.2\nnameserver 1.1.1.3\nnameserver 1.1.1.4", "[1.1.1.1 1.1.1.2 1.1.1.3] [] 1 5s 2"},
		{"search a b\ndomain c d\nnameserver ::1", "[::1] [c] 1 5s 2"},
		{"domain c\nsearch a b\nnameserver ::1\r", "[::1] [a b] 1 5s 2"},
		{"nameserver ::1\noptions timeout:1 attempts:4 rotate edns0 ndots:99", "[::1] [] 15 1s 4"},
		{"nameserver ::1\noptions timeout:0 attempts:99 ndots:-1 ndots: ndots", "[::1] [] 1 1s 5"},
		{"nameserver ::1\noptions timeout:999", "[::1] [] 1 30s 2"},
	} {
		c := parseConfig(tt.text)
		if got := fmt.Sprint(c.servers, c.search, c.dots, c.timeout, c.attempts); got != tt.want {
			t.Errorf("%q: %s, want %s", tt.text, got, tt.want)
		}
	}
}

// TestOptions has the options of resolv.conf(5) that are not numbers.
func TestOptions(t *testing.T) {
	for options, want := range map[string]string{
		"": "udp 2 false", "no-aaaa": "udp 1 false", "use-vc": "tcp 2 false", "single-request": "udp 2 true", "use-vc\noptions no-aaaa single-request": "tcp 1 true",
		"single-request-reopen edns0 trust-ad no-reload no-check-names inet6 no-tld-query debug no-aaaa:1": "udp 2 false",
	} {
		c := parseConfig("options " + options)
		if got := fmt.Sprintln(map[int]string{unix.SOCK_DGRAM: "udp", unix.SOCK_STREAM: "tcp"}[c.kind], c.kinds, c.single); got != want+"\n" {
			t.Errorf("%q: %s, want %s", options, got, want)
		}
	}
}

func TestNames(t *testing.T) {
	c := config{dots: 2, search: []string{"a.b", "c.", "."}}
	for host, want := range map[string][]string{
		"db": {"db.a.b", "db.c", "db"}, "db.x": {"db.x.a.b", "db.x.c", "db.x"}, "db.x.y": {"db.x.y", "db.x.y.a.b", "db.x.y.c"}, "db.": {"db"},
	} {
		if got := c.names(host); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", host, got, want)
		}
	}
}

func TestQuery(t *testing.T) {
	q, ok := newQuery(0x1234, "db.ns", typeAAAA)
	if want := "\x124\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x02db\x02ns\x00\x00\x1c\x00\x01"; !ok || string(q) != want {
		t.Errorf("got %q, want %q", q, want)
	}
	for _, bad := range []string{"", "a..b", ".a", strings.Repeat("a", 64), strings.Repeat("a.", 127) + "aa"} {
		if _, ok := newQuery(1, bad, typeA); ok {
			t.Errorf("%q was taken for a name", bad)
		}
	}
	if _, ok := newQuery(1, strings.Repeat("a.", 126)+"a", typeA); !ok {
		t.Error("the longest name was refused")
	}
}

// record returns a record of an answer. Its name points at the question's name.
func record(rtype uint16, data string) string {
	b := []byte{0xc0, headerLen}
	b = binary.BigEndian.AppendUint16(b, rtype)
	b = append(b, 0, classIN, 0, 0, 0, 60)
	return string(binary.BigEndian.AppendUint16(b, uint16(len(data)))) + data
}

// answer returns a reply to a query.
func answer(query []byte, flags uint16, records ...string) []byte {
	b := slices.Clone(query)
	binary.BigEndian.PutUint16(b[2:], flagResponse|flags)
	binary.BigEndian.PutUint16(b[6:], uint16(len(records)))
	return append(b, strings.Join(records, "")...)
}

func TestReply(t *testing.T) {
	q, _ := newQuery(7, "db.ns", typeA)
	const cname = 5
	good := answer(q, flagRecursion, record(cname, "\x05other\xc0\x0f"), record(typeA, "\x0a\x00\x00\x01"), record(typeAAAA, strings.Repeat("x", 16)), record(typeA, "\x0a\x00\x00\x02"))
	r, ok := parseReply(good, q)
	if !ok || !isReply(good, q) || fmt.Sprint(r.addrs) != "[10.0.0.1 10.0.0.2]" {
		t.Errorf("%+v, %v", r, ok)
	}
	for n := range len(good) - 1 {
		if isReply(good[:n], q) {
			if r, ok := parseReply(good[:n], q); ok || len(r.addrs) > 2 {
				t.Errorf("cut to %d: %+v", n, r)
			}
		}
	}
	if r, ok := parseReply(answer(q, 0, record(typeA, "\x0a\x00\x00")), q); !ok || r.addrs != nil {
		t.Errorf("an A record of 3 bytes: %+v", r)
	}
	for i, change := range []func([]byte){
		func(b []byte) { b[0]++ }, func(b []byte) { b[1]++ }, func(b []byte) { b[2] &^= 0x80 }, func(b []byte) { b[5] = 2 },
		func(b []byte) { b[headerLen+1] = 'x' }, func(b []byte) { b[len(q)-3] = typeAAAA },
	} {
		b := slices.Clone(good)
		if change(b); isReply(b, q) {
			t.Errorf("change %d: taken for the answer", i)
		}
	}
	capitals := slices.Clone(good)
	if copy(capitals[headerLen:], "\x02DB\x02Ns"); !isReply(capitals, q) {
		t.Error("capitals make a difference")
	}
}

// FuzzReply: no message makes the parser panic, and every address that it
// returns is in the message.
func FuzzReply(f *testing.F) {
	for _, qtype := range []uint16{typeA, typeAAAA} {
		q, _ := newQuery(7, "db.ns", qtype)
		f.Add(answer(q, 0, record(qtype, strings.Repeat("x", 16)), record(typeA, "\x0a\x00\x00\x01"))[len(q):], uint16(2), qtype == typeAAAA)
	}
	f.Fuzz(func(t *testing.T, rest []byte, records uint16, six bool) {
		qtype := uint16(typeA)
		if six {
			qtype = typeAAAA
		}
		q, _ := newQuery(7, "db.ns", qtype)
		msg := append(answer(q, 0), rest...)
		binary.BigEndian.PutUint16(msg[6:], records)
		if !isReply(msg, q) {
			t.Fatal("not taken for the answer")
		}
		r, _ := parseReply(msg, q)
		for _, addr := range r.addrs {
			if addr.Is4() == six || !strings.Contains(string(rest), string(addr.AsSlice())) || addr == (netip.Addr{}) {
				t.Errorf("%v is not in %q", addr, rest)
			}
		}
		if 11*len(r.addrs) > len(rest) {
			t.Errorf("%d addresses of %d bytes", len(r.addrs), len(rest))
		}
	})
}
