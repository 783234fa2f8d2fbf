package main_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// What TestStress puts on usher: processes that send signals, clients of its endpoints. And the ledger of what of it has reached the app.

// ledger reads what the app prints (testdata/stressed), run by run, and keeps the order of each sender's queued signals.
type ledger struct {
	mu       sync.Mutex
	rest     []byte
	runs     int           // of the app
	complete bool          // usher loses nothing (build.complete)
	next     map[int]int   // by sender: the number its next signal should have
	heard    map[int]bool  // senders, in this run of the app: what came while there was none is lost
	last     map[int]int64 // by signal: when the last one came
	orphans  int           // as the app reports it, -1 before
	mistakes []string
}

func newLedger(b *build) *ledger {
	return &ledger{complete: b.complete, next: map[int]int{}, heard: map[int]bool{}, last: map[int]int64{}, orphans: -1}
}

func (l *ledger) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rest = append(l.rest, p...)
	for {
		line, rest, whole := bytes.Cut(l.rest, []byte("\n"))
		if !whole {
			return len(p), nil
		}
		l.line(string(line))
		l.rest = rest
	}
}

func (l *ledger) line(line string) {
	words := strings.Fields(line)
	number := func(i int) int {
		n, _ := strconv.Atoi(words[i])
		return n
	}
	switch {
	case line == "ready":
		l.runs++
		clear(l.heard)
	case len(words) == 2 && words[0] == "orphans":
		l.orphans = number(1)
	case len(words) == 5 && words[0] == "signal":
		sig := number(1)
		value, _ := strconv.ParseInt(words[3], 10, 64)
		l.last[sig] = int64(number(4))
		if !isSenders(sig) || !l.complete {
			return
		}
		if words[2] != "-1" { // SI_QUEUE
			l.mistakes = append(l.mistakes, "without its value: "+line)
			return
		}
		id, n := int(value>>32), int(value&math.MaxUint32)
		if want := l.next[id]; n < want || n > want && (l.runs == 1 || l.heard[id]) {
			l.mistakes = append(l.mistakes, fmt.Sprintf("sender %d, run %d: number %d, want %d", id, l.runs, n, want))
		}
		l.next[id] = n + 1
		l.heard[id] = true
	default:
		l.mistakes = append(l.mistakes, "not understood: "+line)
	}
}

// sender is a process that sends signals: testdata/stressed.
type sender struct {
	id    int
	cmd   *exec.Cmd
	in    io.WriteCloser
	out   *bufio.Scanner
	sent  int           // queued signals
	began map[int]int64 // by signal: when the last of the others was sent
	gone  bool          // with the app it was beside
}

// Senders are numbered from 0, each with a real-time signal of its own.
const firstOfSenders = 40

func isSenders(sig int) bool { return firstOfSenders <= sig && sig < firstOfSenders+10 }

// startSender starts it outside usher's PID namespace or, as `docker exec` would, inside.
func startSender(t *testing.T, id int, u *usher, inside bool) *sender {
	t.Helper()
	pid := strconv.Itoa(u.cmd.Process.Pid)
	args := []string{stressed, "send", strconv.Itoa(id), pid}
	if inside {
		args = []string{"nsenter", "--target", pid, "--pid", stressed, "send", strconv.Itoa(id), "1"}
	}
	s := &sender{id: id, cmd: exec.Command(args[0], args[1:]...), began: map[int]int64{}}
	in, err := s.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	s.in, s.out = in, bufio.NewScanner(out)
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return s
}

// send sends so many queued signals and then sig.
func (s *sender) send(count, sig int) {
	if s.gone {
		return
	}
	fmt.Fprintln(s.in, count, sig)
	var began int64
	if !s.out.Scan() {
		s.gone = true
	} else if n, _ := fmt.Sscan(s.out.Text(), &s.sent, &began); n != 2 {
		s.gone = true
	}
	s.began[sig] = began
}

// load has a sender send, as fast as the queue allows.
func (s *sender) load(ctx context.Context, u *usher, random *rand.Rand, signals []int) {
	for ctx.Err() == nil && !s.gone {
		if u.pending() < 2000 {
			s.send(random.IntN(100), signals[random.IntN(len(signals))])
		}
		time.Sleep(time.Duration(random.IntN(3)) * time.Millisecond)
	}
}

// pending is how many signals are queued, by all processes of usher's user (RLIMIT_SIGPENDING).
func (u *usher) pending() (n int) {
	status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", u.cmd.Process.Pid))
	_, queue, _ := strings.Cut(string(status), "\nSigQ:")
	fmt.Sscan(strings.Replace(queue, "/", " ", 1), &n)
	return n
}

// harmless are the signals below the real-time ones that mean nothing to the app, nor to usher (SIGINT does, before there is an app).
var harmless = func() (list []int) {
	for _, sig := range forwardable() {
		switch sig {
		case unix.SIGTERM, unix.SIGINT, unix.SIGCONT, unix.SIGTSTP, unix.SIGTTIN, unix.SIGTTOU: // the last three may cancel each other (signal(7))
		default:
			if sig < 32 {
				list = append(list, int(sig))
			}
		}
	}
	return list
}()

// clients ask usher's endpoints, each in a manner of its own, until ctx ends. answered is told of each answer that a well-behaved one has had, or not.
func startClients(ctx context.Context, wg *sync.WaitGroup, addr string, seed uint64, answered func(error)) {
	for i, client := range []func(context.Context, *rand.Rand, string) error{kept, kept, single, slowly, halfOpen, garbage, unreading} {
		random := rand.New(rand.NewPCG(seed, uint64(i)))
		wg.Go(func() {
			for ctx.Err() == nil {
				if err := client(ctx, random, addr); ctx.Err() == nil {
					answered(err)
				}
				time.Sleep(time.Duration(random.IntN(5)) * time.Millisecond)
			}
		})
	}
}

var paths = []string{"/livez", "/readyz", "/startupz", "/healthz", "/metrics", "/livez?verbose", "/readyz?verbose", "/readyz?exclude=app", "/readyz/ready-1", "/nowhere"}

var keptAlive, notKept = &http.Client{Timeout: patience}, &http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}

func kept(_ context.Context, random *rand.Rand, addr string) error {
	return ask(keptAlive, addr, paths[random.IntN(len(paths))])
}

func single(_ context.Context, random *rand.Rand, addr string) error {
	return ask(notKept, addr, paths[random.IntN(len(paths))])
}

func ask(client *http.Client, addr, path string) error {
	res, err := client.Get("http://" + addr + path)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != 200 && res.StatusCode != 503 && res.StatusCode != 404 || len(body) == 0 {
		return fmt.Errorf("%s: %d %q, %v", path, res.StatusCode, body, err)
	}
	return nil
}

// slowly asks a byte at a time.
func slowly(ctx context.Context, random *rand.Rand, addr string) error {
	c, err := net.DialTimeout("tcp", addr, patience)
	if err != nil {
		return err
	}
	defer c.Close()
	for _, b := range []byte("GET /livez HTTP/1.1\r\nHost: x\r\n\r\n") {
		if _, err := c.Write([]byte{b}); err != nil || ctx.Err() != nil {
			return err
		}
		time.Sleep(time.Duration(random.IntN(3)) * time.Millisecond)
	}
	c.SetReadDeadline(time.Now().Add(patience))
	b := make([]byte, 12)
	if _, err := io.ReadFull(c, b); err != nil || !strings.HasPrefix(string(b), "HTTP/1.1 ") {
		return fmt.Errorf("slow client: %q, %w", b, err)
	}
	return nil
}

// halfOpen makes connections on which nothing, or not enough, is said, and ends them in either way.
func halfOpen(ctx context.Context, random *rand.Rand, addr string) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	for range random.IntN(20) {
		c, err := net.DialTimeout("tcp", addr, patience)
		if err != nil {
			return err
		}
		io.WriteString(c, "GET /livez HTTP/1.1\r\nHo"[:random.IntN(23)])
		if random.IntN(2) == 0 {
			c.(*net.TCPConn).SetLinger(0)
		}
		open := time.Duration(random.IntN(100)) * time.Millisecond
		wg.Go(func() {
			defer c.Close()
			select {
			case <-ctx.Done():
			case <-time.After(open):
			}
		})
	}
	return nil
}

func garbage(_ context.Context, random *rand.Rand, addr string) error {
	c, err := net.DialTimeout("tcp", addr, patience)
	if err != nil {
		return err
	}
	defer c.Close()
	b := make([]byte, random.IntN(1<<14))
	for i := range b {
		b[i] = byte(random.Uint32())
	}
	c.SetDeadline(time.Now().Add(patience))
	c.Write(b)
	return nil
}

// unreading asks much and reads nothing.
func unreading(_ context.Context, random *rand.Rand, addr string) error {
	c, err := net.DialTimeout("tcp", addr, patience)
	if err != nil {
		return err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(time.Duration(random.IntN(200)) * time.Millisecond))
	io.WriteString(c, strings.Repeat("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n", random.IntN(1000)))
	return nil
}
