package healthz

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"usher/signals/testmain"
)

// The test binary is also the server that some tests need in a process of its own.
const helperEnv = "HEALTHZ_TEST_SERVER_NOFILE"

func TestMain(m *testing.M) {
	if limit := os.Getenv(helperEnv); limit != "" {
		serveAlone(limit)
		return
	}
	testmain.Main(m.Run)
}

// serveAlone prints its address, serves, and ends with its stdin. limit is
// RLIMIT_NOFILE; 0 for the inherited limit.
func serveAlone(limit string) {
	if n, err := strconv.ParseUint(limit, 10, 64); err != nil {
		panic(err)
	} else if n > 0 {
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: n, Max: n}); err != nil {
			panic(err)
		}
	}
	s, err := serverOf(endpoints(), func(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) })
	if err == nil {
		err = s.Listen("127.0.0.1:0")
	}
	if err != nil {
		panic(err)
	}
	go s.Serve()
	fmt.Println(s.addr())
	io.Copy(io.Discard, os.Stdin)
}

// startAlone runs serveAlone in a process. It returns its address, its pid, and
// a reader of its stderr.
func startAlone(t testing.TB, nofile int, env ...string) (addr string, pid int, stderr *bufio.Reader) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(append(os.Environ(), helperEnv+"="+strconv.Itoa(nofile)), env...)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	errR, errW, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = errW
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	errW.Close()
	t.Cleanup(func() {
		stdin.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("the server's process: %v", err)
		}
		errR.Close()
	})
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(line), cmd.Process.Pid, bufio.NewReader(errR)
}

// endpoints: livez holds, readyz does not, boom panics.
func endpoints() map[string]Endpoint {
	app := []Result{{Name: "app"}}
	ready := []Result{{Name: "app"}, {Name: "ready-1", Failure: "connection refused"}, {Name: "stop"}}
	return map[string]Endpoint{
		"livez":   func(r []Result) []Result { return append(r, app...) },
		"healthz": func(r []Result) []Result { return append(r, app...) },
		"readyz":  func(r []Result) []Result { return append(r, ready...) },
		"boom":    func([]Result) []Result { panic("boom") },
	}
}

// start serves endpoints() on a free port of loopback. adjust may change the
// server before.
func start(t testing.TB, adjust func(*Server)) (addr string, s *Server) {
	t.Helper()
	s = newServer(t)
	if err := s.Listen("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	if adjust != nil {
		adjust(s)
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		s.Serve()
	}()
	t.Cleanup(func() {
		s.Close()
		<-served // t.Logf is not to be called after
		if n := s.open.Load(); n != 0 {
			t.Errorf("%d connections are still open", n)
		}
	})
	return s.addr(), s
}

// serverOf makes a server with these endpoints.
func serverOf(endpoints map[string]Endpoint, logf func(format string, args ...any)) (*Server, error) {
	s, err := NewServer(logf)
	if err != nil {
		return nil, err
	}
	for name, endpoint := range endpoints {
		s.SetEndpoint(name, endpoint)
	}
	return s, nil
}

// newServer serves endpoints(), once it is told to.
func newServer(t testing.TB) *Server {
	t.Helper()
	s, err := serverOf(endpoints(), t.Logf)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// connected returns a connection of a server that does not serve: the test
// calls its methods, and so decides about the order of events.
func connected(t testing.TB, s *Server) (c *conn, client *os.File) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	client = os.NewFile(uintptr(fds[1]), "")
	t.Cleanup(func() { client.Close() })
	s.tick()
	return s.newConn(fds[0]), client
}

func (s *Server) addr() string { return s.listeners[0].Addr().String() }

func waitFor(t testing.TB, what string, cond func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !cond(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

func dial(t testing.TB, addr string) net.Conn {
	t.Helper()
	c, err := net.DialTimeout("tcp", addr, 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(10 * time.Second))
	return c
}

// exchange sends raw bytes. It returns the first response, as net/http's parser
// reads it, its body, and whether the server closed the connection after it
// without sending more.
func exchange(t testing.TB, addr, raw string) (res *http.Response, body string, closed bool) {
	t.Helper()
	c := dial(t, addr)
	if _, err := io.WriteString(c, raw); err != nil {
		t.Fatalf("sending %.80q: %v", raw, err)
	}
	r := bufio.NewReader(c)
	method, _, _ := strings.Cut(raw, " ")
	res, err := http.ReadResponse(r, &http.Request{Method: method})
	if err != nil {
		t.Fatalf("response to %.80q: %v", raw, err)
	}
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatalf("body of the response to %.80q: %v", raw, err)
	}
	if !res.Close { // then net/http's parser would have seen it
		return res, string(b), false
	}
	if rest, err := io.ReadAll(r); err != nil || len(rest) > 0 {
		t.Fatalf("after the response to %.80q: %q, %v; want the connection closed", raw, rest, err)
	}
	return res, string(b), true
}
