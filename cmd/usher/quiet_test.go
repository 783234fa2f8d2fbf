package main_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"usher/examples/load"
	"usher/supervisor/traffic"
)

const quietAddr = "127.0.0.1:8080"

// startQuiet starts the server that dies of SIGTERM at once behind usher, in a network namespace of its own, and waits until it serves.
func startQuiet(t *testing.T, flags ...string) *usher {
	t.Helper()
	u := start(t, &made, append(flags, "--", goServer(t), quietAddr)...)
	eventually(t, func() error { return (&load.Client{Addr: quietAddr, Timeout: time.Second}).Get("/") })
	return u
}

// stopped sends SIGTERM and returns how long it took to end.
func stopped(u *usher) time.Duration {
	u.t.Helper()
	began := time.Now()
	u.signal(unix.SIGTERM)
	u.want(143)
	return time.Since(began)
}

// between checks that something took at least least, and not nearly as long as the whole hold, 30s in these tests.
func between(u *usher, took, least time.Duration) {
	u.t.Helper()
	if took < least || took > least+15*time.Second {
		u.t.Errorf("the stop took %v, want %v or little more\n%s", took, least, &u.stderr)
	}
}

// What doesn't count: connections that rest, usher's own checks, and requests to usher itself.
func TestQuietAtOnce(t *testing.T) {
	if !ownNetwork(t) {
		return
	}
	const health = "127.0.0.1:8086"
	log := newLog(t)
	u := startQuiet(t, "--term-delay", "30s", "--quiet-period", "700ms", "--termination-log", log, "--health-addr", health,
		"--ready-check", "http://localhost:8080/", "--ready-check", "tcp://"+quietAddr, "--ready-check", "exec:bash -c 'exec 3<>/dev/tcp/127.0.0.1/8080'", "--ready-period", "50ms")
	get(t, "http://"+health+"/readyz", 200)
	kept := &load.Client{Addr: quietAddr, KeepAlive: true, Timeout: 5 * time.Second}
	if err := kept.Get("/"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		for i := 0; ctx.Err() == nil; i++ {
			(&load.Client{Addr: health, KeepAlive: i%2 == 0, Timeout: time.Second}).Get("/livez")
			time.Sleep(20 * time.Millisecond)
		}
	}()
	between(u, stopped(u), 700*time.Millisecond)
	u.logged("held back until traffic has been quiet for 700ms, at most 30s")
	u.logged("traffic has been quiet for 700ms, after ")
	word := readLog(t, log)
	if !regexp.MustCompile(`, held back for \S+ of at most 30s \(quiet for 700ms\), app gone \S+ after SIGTERM`).MatchString(word) {
		t.Errorf("termination log: %q", word)
	}
}

// Requests on kept connections and on new ones prolong the hold, at the rate that a quiet period allows.
func TestNotQuiet(t *testing.T) {
	for _, keep := range []bool{true, false} {
		t.Run(fmt.Sprint("keep ", keep), func(t *testing.T) {
			if !ownNetwork(t) {
				return
			}
			u := startQuiet(t, "--term-delay", "30s", "--quiet-period", "1s")
			client := &load.Client{Addr: quietAddr, KeepAlive: keep, Timeout: 5 * time.Second}
			began := time.Now()
			u.signal(unix.SIGTERM)
			for i := 0; i < 8; i++ {
				if err := client.Get("/"); err != nil {
					t.Fatalf("after %v: %v\n%s", time.Since(began), err, &u.stderr)
				}
				time.Sleep(300 * time.Millisecond)
			}
			sent := time.Since(began) - 300*time.Millisecond
			u.want(143)
			between(u, time.Since(began), sent+990*time.Millisecond)
		})
	}
}

// dialFrom connects from another address of the loopback interface and closes, until ctx ends.
func dialFrom(ctx context.Context, from string) {
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: time.Second}
	for ctx.Err() == nil {
		if c, err := d.Dial("tcp", quietAddr); err == nil {
			fmt.Fprint(c, "GET / HTTP/1.0\r\n\r\n")
			bufio.NewReader(c).ReadString('\n')
			c.Close()
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func TestQuietIgnore(t *testing.T) {
	if !ownNetwork(t) {
		return
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	u := startQuiet(t, "--term-delay", "30s", "--quiet-period", "500ms", "--quiet-ignore", "127.9.0.1,127.7.0.0/16", "--quiet-ignore", "::1")
	go dialFrom(ctx, "127.7.0.1")
	between(u, stopped(u), 500*time.Millisecond)

	// The control: without, there is no quiet.
	u = startQuiet(t, "--term-delay", "2s", "--quiet-period", "500ms", "--quiet-ignore", "127.8.0.0/16")
	if took := stopped(u); took < 2*time.Second {
		t.Errorf("the stop took %v", took)
	}
	u.logged("SIGTERM sent to the app after 2")
}

// refuseNetlink is what gVisor and strict seccomp profiles have: no socket of AF_NETLINK, for this thread and what it starts.
func refuseNetlink(t *testing.T) {
	t.Helper()
	refuse(t,
		unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: unix.SYS_SOCKET, Jf: 3},
		unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: 16}, // the first argument
		unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: unix.AF_NETLINK, Jf: 1})
}

// refuse has calls fail with EPERM, for this thread and what it starts: those that get to the end of calls, which finds the call's number loaded.
func refuse(t *testing.T, calls ...unix.SockFilter) {
	t.Helper()
	runtime.LockOSThread()
	filter := append([]unix.SockFilter{{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: 0}}, calls...)
	filter = append(filter, unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)},
		unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW})
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		t.Skipf("no seccomp: %v", err)
	}
	prog := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	if err := unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(&prog)), 0, 0); err != nil {
		t.Skipf("no seccomp: %v", err)
	}
}

func TestQuietWithoutNetlink(t *testing.T) {
	if !ownNetwork(t) {
		return
	}
	refuseNetlink(t)
	u := startQuiet(t, "--term-delay", "30s", "--quiet-period", "1s")
	kept := &load.Client{Addr: quietAddr, KeepAlive: true, Timeout: 5 * time.Second}
	if err := kept.Get("/"); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	u.signal(unix.SIGTERM)
	for range 6 {
		if err := kept.Get("/"); err != nil {
			t.Fatalf("%v\n%s", err, &u.stderr)
		}
		time.Sleep(300 * time.Millisecond)
	}
	u.want(143)
	between(u, time.Since(began), 2400*time.Millisecond)
	u.logged("usher: cannot open sock_diag: operation not permitted: traffic is looked for in /proc/net/tcp, which shows less")
	if n := strings.Count(u.stderr.String(), "/proc/net"); n != 1 {
		t.Errorf("said %d times:\n%s", n, &u.stderr)
	}
}

// Two ends make a connection, where there are no cookies: a kept one does not prolong a hold that is about new ones, which do.
func TestNewConnectionsWithoutNetlink(t *testing.T) {
	if !ownNetwork(t) {
		return
	}
	refuseNetlink(t)
	log := newLog(t)
	u := startQuiet(t, "--term-delay", "30s", "--quiet-period", "2s", "--quiet-mode", "new-connections", "--termination-log", log, "--termination-format", "json")
	kept := &load.Client{Addr: quietAddr, KeepAlive: true, Timeout: 5 * time.Second}
	if err := kept.Get("/"); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	u.signal(unix.SIGTERM)
	go func() {
		for kept.Get("/") == nil {
			time.Sleep(50 * time.Millisecond)
		}
	}()
	time.Sleep(time.Second)
	if err := (&load.Client{Addr: quietAddr, Timeout: time.Second}).Get("/"); err != nil {
		t.Error(err)
	}
	u.want(143)
	between(u, time.Since(began), 3*time.Second)
	u.logged("cannot open sock_diag: operation not permitted: traffic is looked for in /proc/net/tcp, which shows less")
	if word := readLog(t, log); !strings.Contains(word, `"holdEnded":"without a new connection for 2s"`) {
		t.Errorf("termination log: %q", word)
	}
}

func TestQuietBlind(t *testing.T) {
	if !ownNetwork(t) {
		return
	}
	refuseNetlink(t)
	server := goServer(t)
	u := start(t, &build{path: "/bin/sh"}, "-c", `mount -t tmpfs none /proc && exec "$0" "$@"`, made.path,
		"--term-delay", "2s", "--quiet-period", "200ms", "--drain-timeout", "1s", "--", server, quietAddr)
	eventually(t, func() error { return (&load.Client{Addr: quietAddr, Timeout: time.Second}).Get("/") })
	if took := stopped(u); took < 3*time.Second {
		t.Errorf("the stop took %v", took)
	}
	u.logged("usher: cannot read /proc/net/tcp: no such file or directory: traffic can't be seen, the stop takes its full time")
}

// slow sends a request that takes d, waits until it is being answered, and returns what becomes of it.
func slow(u *usher, d time.Duration) <-chan error {
	t := u.t
	t.Helper()
	c, err := net.Dial("tcp", quietAddr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	fmt.Fprintf(c, "GET /?%v HTTP/1.1\r\nHost: x\r\n\r\n", d)
	done := make(chan error, 1)
	go func() {
		res, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err == nil {
			res.Body.Close()
		}
		done <- err
	}()
	u.printed(fmt.Sprintf("answering in %v\n", d))
	return done
}

// idle waits until nothing has moved for a while and no connection looks busy: the client's kernel may put off its acknowledgement for 40 ms.
func idle(t *testing.T) {
	t.Helper()
	w := &traffic.Watcher{}
	if fallback, err := w.Open(); fallback != nil || err != nil {
		t.Fatal(fallback, err)
	}
	defer w.Close()
	eventually(t, func() error {
		look, err := w.Look()
		if err == nil && (look.Busy > 0 || time.Since(look.Active) < 300*time.Millisecond) {
			err = fmt.Errorf("busy: %+v", look)
		}
		return err
	})
}

func TestDrain(t *testing.T) {
	if !ownNetwork(t) {
		return
	}
	log := newLog(t)
	u := startQuiet(t, "--drain-timeout", "30s", "--termination-log", log)
	kept := &load.Client{Addr: quietAddr, KeepAlive: true, Timeout: 5 * time.Second}
	if err := kept.Get("/"); err != nil {
		t.Fatal(err)
	}
	answer := slow(u, 2*time.Second)
	took := stopped(u)
	if err := <-answer; err != nil {
		t.Errorf("the request was cut: %v\n%s", err, &u.stderr)
	}
	between(u, took, 1800*time.Millisecond)
	u.logged("usher: drained in ")
	if word := readLog(t, log); !regexp.MustCompile(`; SIGTERM from [^,;]+, drained in \S+s, app gone \S+ after SIGTERM`).MatchString(word) {
		t.Errorf("termination log: %q", word)
	}

	// With nothing to be answered, a drain is no delay.
	u = startQuiet(t, "--drain-timeout", "30s")
	if err := kept.Get("/"); err == nil {
		t.Error("the last server's connection has survived")
	}
	if err := kept.Get("/"); err != nil {
		t.Fatal(err)
	}
	idle(t)
	between(u, stopped(u), 0)
	// A busy machine may take some milliseconds for a look.
	if regexp.MustCompile(`drained in \S*\ds`).MatchString(u.stderr.String()) {
		t.Errorf("log: %s", &u.stderr)
	}
}

func TestDrainTimeout(t *testing.T) {
	if !ownNetwork(t) {
		return
	}
	u := startQuiet(t, "--drain-timeout", "1s")
	answer := slow(u, 20*time.Second)
	between(u, stopped(u), time.Second)
	if err := <-answer; err == nil {
		t.Error("the request was answered")
	}
	u.logged("still busy after 1s: 1")

	// A second signal ends it, as it does a hold.
	u = startQuiet(t, "--drain-timeout", "1h")
	slow(u, 20*time.Second)
	u.signal(unix.SIGTERM)
	u.logged("that are being answered may finish")
	between(u, stopped(u), 0)
}

func TestTrafficMistakes(t *testing.T) {
	for _, tt := range []struct {
		args []string
		want []string
	}{
		{[]string{"--quiet-period", "1s"}, []string{"--quiet-period 1s: must be from 0 to --term-delay, which is 0s"}},
		{[]string{"--quiet-period", "10s", "--term-delay", "5s"}, []string{"--quiet-period 10s: must be from 0 to --term-delay, which is 5s"}},
		{[]string{"--quiet-period", "-1s", "--drain-timeout", "-1s", "--quiet-ignore", "10.0.0.0/40", "--quiet-ignore", "x"}, []string{
			"--quiet-period -1s: must be from 0", "--drain-timeout -1s: must not be negative",
			`"10.0.0.0/40" is neither an address nor a range`, `"x" is neither an address nor a range such as 10.0.0.0/8 or fd00::/8`}},
		{[]string{"--quiet-ignore", "10.0.0.0/8"}, []string{"--quiet-ignore: there is neither --quiet-period nor --drain-timeout"}},
		{[]string{"--quiet-mode", "new-connections"}, []string{"--quiet-mode: there is no --quiet-period"}},
		{[]string{"--quiet-mode", "busy", "--quiet-period", "1s"}, []string{`"busy": want traffic or new-connections`, "--quiet-period 1s: must be from 0"}},
		{[]string{"--drain-timeout", "30s", "--grace-period", "30s"}, []string{"--grace-period 30s", "--drain-timeout 30s"}},
		{[]string{"--quiet-period", "5s", "--term-delay", "20s", "--drain-timeout", "10s", "--grace-period", "30s"}, []string{"--grace-period 30s", "--drain-timeout 10s"}},
	} {
		u := commandHere(t, &made, append(tt.args, "--", "sh", "-c", "echo started")...).begin()
		u.want(125)
		for _, want := range tt.want {
			if !strings.Contains(u.stderr.String(), want) {
				t.Errorf("%q: no %q in %q", tt.args, want, &u.stderr)
			}
		}
		if u.stdout.String() != "" {
			t.Errorf("%q: started", tt.args)
		}
	}
}
