package main_test

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"usher/signals"
)

// stressed is the app: testdata/stressed.
var stressed string

// What its signals ask of it is there. They are below those of the senders: the kernel hands out the lowest first, and there may always be one.
const (
	askReport = unix.Signal(35 + iota)
	askFail
	askCrash
	askStop
)

// All at once: signals from many processes, orphans, checks, hooks, sd_notify, clients of every kind, a flood on stderr, an app that dies and
// is started again; and then an end, at any moment. Each round has flags and an end of its own, which follow from its number: what a
// failure prints as USHER_STRESS_SEED begins with that round. USHER_STRESS is how long it goes on (10s; `make stress`: a minute).
func TestStress(t *testing.T) {
	if testing.Short() {
		t.Skip("takes ten seconds")
	}
	if !made.complete {
		t.Skip("the app needs an entry point of our own")
	}
	setting := func(name string, otherwise time.Duration) time.Duration {
		d, err := time.ParseDuration(cmp.Or(os.Getenv(name), otherwise.String()))
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	duration := setting("USHER_STRESS", 10*time.Second)
	seed := uint64(time.Now().UnixMilli()) % 1e6
	if s := os.Getenv("USHER_STRESS_SEED"); s != "" {
		var err error
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	dir := t.TempDir()
	stressed = filepath.Join(dir, "stressed")
	full := made
	builds := [][]string{{"PKG=./cmd/usher/testdata/stressed", "OUT=" + stressed}}
	if raceDetector { // which usher's own entry point goes well with
		full.path = filepath.Join(dir, "usher")
		builds = append(builds, []string{"RACE=1", "OUT=" + full.path})
	}
	for _, args := range builds {
		if out, err := exec.Command("make", append([]string{"-s", "-C", "../..", "build"}, args...)...).CombinedOutput(); err != nil {
			t.Fatalf("make build %s: %v\n%s", args, err, out)
		}
	}
	for begin := time.Now(); time.Since(begin) < duration && !t.Failed(); seed++ {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			r := &round{t: t, random: rand.New(rand.NewPCG(seed, 0)), seed: seed, b: &full}
			if r.chance(20) {
				r.b = &plain
			}
			r.run()
		})
	}
}

// round is one life of usher.
type round struct {
	t      *testing.T
	random *rand.Rand
	seed   uint64
	b      *build

	end               finale
	flags, app        []string
	health, log, file string
	restarts, leaves  bool
	json              bool
	tail              int
	codes             map[int]int

	u       *usher
	ledger  *ledger
	senders []*sender
	stopped atomic.Bool // or about to be: nobody is surprised that a client has no answer
	signals []int
	runs    int // of the app, so far
}

// finale is how a round ends.
type finale struct {
	name   string
	flags  []string
	app    []string // flags of the app
	code   int
	reason string
	once   bool // it would not be the end with --restart
	do     func(*round)
}

var finales = []finale{
	{name: "stop", code: 42, reason: "Error", do: func(r *round) { r.u.signal(unix.SIGTERM) }},
	{name: "stop, twice", code: 42, reason: "Error", do: func(r *round) {
		r.u.signal(unix.SIGTERM)
		time.Sleep(time.Duration(r.random.IntN(100)) * time.Millisecond)
		r.u.cmd.Process.Signal(unix.SIGTERM) // it may be gone
	}},
	{name: "exit", code: 3, reason: "Error", once: true, do: func(r *round) { r.u.signal(askFail) }},
	{name: "death", code: 137, reason: "Signaled", once: true, do: func(r *round) { r.u.signal(askCrash) }},
	{name: "kill", flags: []string{"--stop-schedule", "TERM/100ms/KILL"}, app: []string{"-ignore"}, code: 137, reason: "StopTimeout",
		do: func(r *round) { r.u.signal(unix.SIGTERM) }},
	{name: "unhealthy", flags: []string{"--on-unhealthy", "stop"}, code: 42, reason: "Unhealthy", once: true, do: func(r *round) { os.Remove(r.file) }},
	{name: "post-start", code: 9, reason: "HookFailed", once: true, do: func(r *round) { os.Create(r.file + ".fail") }},
}

// chance is whether what happens in so many of a hundred rounds does.
func (r *round) chance(percent int) bool { return r.random.IntN(100) < percent }

func (r *round) ms(least, most int) time.Duration {
	return time.Duration(least+r.random.IntN(most-least)) * time.Millisecond
}

func (r *round) run() {
	r.plan()
	r.start()
	early := r.b.complete && r.end.code == 42 && !r.end.once && r.chance(20)
	ctx, cancel := context.WithCancel(context.Background())
	var load, clients sync.WaitGroup
	pause := func() {
		cancel()
		load.Wait()
		clients.Wait()
		keptAlive.CloseIdleConnections()
	}
	defer func() {
		for _, s := range r.senders {
			s.cmd.Process.Kill()
		}
		pause()
		for _, s := range r.senders {
			s.cmd.Wait()
		}
	}()
	if !r.b.complete { // os/signal is not there from the first moment on
		r.ready()
	}
	for id := range 7 {
		s := startSender(r.t, id, r.u, id > 3 && os.Getuid() == 0)
		r.senders = append(r.senders, s)
		random := rand.New(rand.NewPCG(r.seed, uint64(id+1)))
		load.Go(func() { s.load(ctx, r.u, random, r.signals) })
	}
	if early {
		time.Sleep(r.ms(0, 100))
	} else {
		if r.runs == 0 {
			r.ready()
		}
		get(r.t, "http://"+r.health+"/livez", 200)
		if r.end.name == "post-start" {
			wantBody(r.t, "http://"+r.health+"/readyz", 503, "post-start is running")
		}
		http.DefaultClient.CloseIdleConnections()
		before := r.least(func(resources) bool { return false })
		startClients(ctx, &clients, r.health, r.seed, func(err error) {
			if err != nil && !r.stopped.Swap(true) {
				r.t.Errorf("a client: %v\n%s", err, r.u.log())
			}
		})
		r.storm()
		if r.chance(50) {
			pause()
			r.settle()
			r.grown(before)
		}
	}
	r.stopped.Store(true)
	r.end.do(r)
	r.check(early)
}

// plan makes up the flags.
func (r *round) plan() {
	r.end = finales[r.random.IntN(len(finales))]
	dir := r.t.TempDir()
	r.health, r.log, r.file = r.port(), newLog(r.t), filepath.Join(dir, "file")
	web, socket := r.port(), filepath.Join(dir, "socket")
	r.app = append([]string{"-addr", web, "-socket", socket, "-file", r.file}, r.end.app...)
	add := func(percent int, flags ...string) bool {
		take := r.chance(percent)
		if take {
			r.flags = append(r.flags, flags...)
		}
		return take
	}
	add(100, "--health-addr", r.health, "--termination-log", r.log, "--live-check", "file:"+r.file, "--live-period", "20ms",
		"--ready-period", r.ms(10, 50).String(), "--ready-check", "tcp://"+web, "--live-initial-delay", "100ms", "--ready-timeout", "5s")
	add(100, r.end.flags...)
	add(50, "--ready-check", "http://"+web+"/")
	add(50, "--ready-check", "exec:sh -c 'echo checked'")
	add(50, "--ready-check", "unix://"+socket)
	add(50, "--startup-check", "notify:", "--startup-period", "20ms", "--startup-failure-threshold", "1000")
	add(30, "--watchdog", "10s")
	if add(50, "--term-delay", "300ms") {
		add(50, "--quiet-period", "100ms")
	}
	add(30, "--drain-timeout", "200ms")
	add(40, "--grace-period", "40s")
	add(50, "--pre-start", "mount -t proc proc /proc")
	add(30, "--pre-start", "sh -c 'echo preparing; sleep 0.05'")
	add(30, "--wait-for", "file:/")
	if r.end.name == "post-start" {
		add(100, "--post-start", "exec:sh -c 'until [ -e "+r.file+".fail ]; do sleep 0.01; done; echo why; exit 9'")
	} else {
		add(30, "--post-start", "exec:sh -c 'echo started'")
	}
	add(30, "--pre-stop", "exec:sh -c 'echo leaving'")
	add(30, "--post-stop", "exec:sh -c 'echo gone'")
	if r.end.name != "kill" {
		add(20, "--rewrite", "TERM:"+strconv.Itoa(int(askStop)))
	}
	r.codes = map[int]int{}
	if add(20, "--exit-code", "42=7") {
		r.codes[42] = 7
	}
	add(30, "-v")
	add(20, "--log-format", "json")
	r.json = add(30, "--termination-format", "json")
	if add(50, "--termination-tail", "5") {
		r.tail = 5
	}
	if !r.end.once && r.b.complete { // with os/signal the app is not given all of the mask, and what comes before it is there may end it
		r.restarts = add(50, "--restart", "always")
	}
	if r.leaves = add(20, "--straggler-grace", "300ms"); r.leaves {
		r.app = append(r.app, "-leave")
	}
	for _, sig := range harmless {
		switch unix.Signal(sig) {
		case unix.SIGURG, unix.SIGPIPE, unix.SIGXFSZ, unix.SIGPROF: // signals/source_notify.go
			if !r.b.complete {
				continue
			}
		}
		r.signals = append(r.signals, sig)
	}
}

// port is an address nobody listens at, and none that a client may be given for its end: there are thousands of those.
func (r *round) port() string {
	for {
		addr := fmt.Sprintf("127.0.0.1:%d", 10_000+rand.IntN(20_000))
		if l, err := net.Listen("tcp", addr); err == nil {
			l.Close()
			return addr
		}
	}
}

// start runs usher and the app with every signal blocked: none can end them before they are ready for it.
func (r *round) start() {
	r.u = command(r.t, r.b, append(append(r.flags, "--", stressed), r.app...)...)
	r.ledger = newLedger(r.b)
	r.u.cmd.Stdout = r.ledger
	r.u.cmd.Env = append(r.u.cmd.Env, "GOGC=1") // a plain build obeys it
	r.t.Logf("USHER_STRESS_SEED=%d: %s, %s: usher %q", r.seed, r.b.name, r.end.name, r.u.cmd.Args[1:])
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	all, old := signals.All(), signals.Set{}
	signals.SetMask(&all, &old)
	defer signals.SetMask(&old, nil)
	r.u.begin()
	r.t.Cleanup(r.dump)
}

// dump shows, before all is killed, what is there after a failure, and where each thread is.
func (r *round) dump() {
	select {
	case <-r.u.done:
		return
	default:
	}
	if !r.t.Failed() {
		return
	}
	pids := []int{r.u.cmd.Process.Pid}
	for _, stat := range descendants(r.t, pids[0]) {
		pid, _, _ := strings.Cut(stat, " ")
		n, _ := strconv.Atoi(pid)
		pids = append(pids, n)
		r.t.Log(stat)
	}
	for _, pid := range pids[:min(len(pids), 5)] {
		for _, name := range []string{"task/*/syscall", "task/*/stack", "task/*/status", "cmdline"} {
			files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/%s", pid, name))
			for _, f := range files {
				b, _ := os.ReadFile(f)
				r.t.Logf("%s: %s", f, b)
			}
		}
	}
}

// ready waits for the next run of the app.
func (r *round) ready() {
	r.t.Helper()
	r.runs++
	eventually(r.t, func() error {
		r.ledger.mu.Lock()
		defer r.ledger.mu.Unlock()
		if r.ledger.runs >= r.runs {
			return nil
		}
		select {
		case <-r.u.done:
			r.t.Fatalf("usher has ended with %d: %s\n%s", r.u.wait(), readLog(r.t, r.log), &r.u.stderr)
		default:
		}
		return fmt.Errorf("the app has been ready %d times, want %d\n%s", r.ledger.runs, r.runs, r.u.log())
	})
}

// storm is the time in between. With --restart the app may die in it, once: after that it would be left alone for ten seconds.
func (r *round) storm() {
	time.Sleep(r.ms(0, 1000))
	if r.restarts && r.chance(70) {
		r.u.signal([]unix.Signal{askFail, askCrash}[r.random.IntN(2)])
		r.ready()
		time.Sleep(r.ms(0, 1000))
	}
}

// settle holds usher to account while nothing is going on.
func (r *round) settle() {
	r.t.Helper()
	began := map[int]int64{}
	for _, s := range r.senders {
		for _, sig := range r.signals { // what was sent before may have been lost between two runs
			s.send(5, sig)
		}
		for sig, at := range s.began {
			if !s.gone {
				began[sig] = max(began[sig], at)
			}
		}
	}
	l := r.ledger
	eventually(r.t, func() error {
		l.mu.Lock()
		defer l.mu.Unlock()
		for _, s := range r.senders {
			switch {
			case s.gone && (s.id < 4 || r.runs == 1):
				return fmt.Errorf("sender %d has ended", s.id)
			case !s.gone && r.b.complete && l.next[s.id] != s.sent:
				return fmt.Errorf("sender %d: %d signals sent, the last to arrive is number %d", s.id, s.sent, l.next[s.id]-1)
			}
		}
		for sig, at := range began {
			if l.last[sig] < at {
				return fmt.Errorf("signal %d was sent and did not arrive", sig)
			}
		}
		return nil
	})
	r.u.signal(askReport)
	eventually(r.t, func() error {
		m := scrape(r.t, r.health)
		reaped := int(m["usher_zombies_reaped_total"])
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.orphans < 0 || reaped < l.orphans || reaped > l.orphans && r.runs == 1 {
			return fmt.Errorf("%d orphans were made, %d reaped", l.orphans, reaped)
		}
		for _, stat := range descendants(r.t, r.u.cmd.Process.Pid) {
			if strings.Contains(stat, ") Z ") {
				return fmt.Errorf("a zombie is left: %s", stat)
			}
		}
		return nil
	})
}

// least is the least of what usher has in 50 looks, or until it is enough: an exec check at work has descriptors.
func (r *round) least(enough func(resources) bool) resources {
	least := r.u.resources()
	for range 50 {
		if enough(least) {
			break
		}
		time.Sleep(time.Millisecond)
		now := r.u.resources()
		least = resources{min(least.descriptors, now.descriptors), min(least.threads, now.threads), min(least.privateKB, now.privateKB)}
	}
	return least
}

// grown is for when all clients have gone.
func (r *round) grown(before resources) {
	r.t.Helper()
	http.DefaultClient.CloseIdleConnections() // scrape's
	eventually(r.t, func() error {
		after := r.least(func(now resources) bool { return now.descriptors <= before.descriptors })
		switch {
		// The Go runtime keeps each thread that it once needed: up to 17 on a busy machine. A leak over the hundreds of checks of a storm is far more.
		// Thousands of signals that were kept for the app before its start are rubbish from there on, and stay until that is collected.
		case after.descriptors > before.descriptors, after.threads > 40, after.privateKB > max(6<<10, before.privateKB) && !raceDetector:
			open, _ := exec.Command("ls", "-l", fmt.Sprintf("/proc/%d/fd", r.u.cmd.Process.Pid)).Output()
			return fmt.Errorf("%+v, then %+v: %s", before, after, open)
		}
		r.t.Logf("after %d runs: %+v, then %+v", r.runs, before, after)
		return nil
	})
}

// shown are usher's own lines on stderr, and those of hooks. They may stand in the middle of one of the app's.
var shown = regexp.MustCompile(`(usher: |(pre|post)-(start|stop)[-0-9]*: |\{"time":)[^\n]*\n`)

// log is what usher itself has written to stderr.
func (u *usher) log() string { return strings.Join(shown.FindAllString(u.stderr.String(), -1), "") }

// check is for the end.
func (r *round) check(early bool) {
	t := r.t
	t.Helper()
	code := r.u.wait()
	want := r.end.code
	if to, ok := r.codes[want]; ok {
		want = to
	}
	reason := r.end.reason
	if early && code == 143 && (slices.Contains(r.flags, "--pre-start") || slices.Contains(r.flags, "--wait-for")) { // the app has not been started
		want, reason = 143, "Signaled"
	}
	word := r.word()
	if code != want || word.Reason != reason || word.ExitCode != want || word.Restarts != max(r.runs-1, 0) {
		t.Errorf("exit code %d, want %d; last word %+v, want %s\n%s", code, want, word, reason, r.u.log())
	}
	r.ledger.mu.Lock()
	defer r.ledger.mu.Unlock()
	if m := r.ledger.mistakes; len(m) > 0 {
		t.Errorf("%d mistakes in the order of signals: %s", len(m), m[:min(len(m), 5)])
	}
	// What is left of stderr are the app's lines, all of them and in their order.
	lines := strings.SplitAfter(shown.ReplaceAllString(r.u.stderr.String(), ""), "\n")
	next := map[string]int{}
	for i, line := range lines {
		line = line[max(0, strings.LastIndex(line, "chatter ")):] // what comes before is of a run that ended in the middle of it
		chatter, number, _ := strings.Cut(strings.TrimPrefix(line, "chatter "), " ")
		if number != fmt.Sprintln(next[chatter]) && i < len(lines)-1 {
			t.Errorf("line %d of stderr, where number %d was to be: %s", i, next[chatter], strings.Join(lines[i:min(i+50, len(lines))], ""))
			break
		}
		next[chatter]++
	}
	if log := r.u.log(); !r.leaves && r.end.name != "kill" && strings.Contains(log, "SIGKILL to what it leaves behind") {
		t.Errorf("there was nothing that had to be killed: %s", log[max(0, len(log)-5000):])
	}
	if all := strings.Join(lines, ""); r.tail > 0 && (word.Stderr == "" && all != "" || !strings.HasSuffix(all, word.Stderr)) {
		t.Errorf("termination log: stderr ends with %q, want %q", word.Stderr, all[max(0, len(all)-len(word.Stderr)):])
	}
	for line := range strings.Lines(r.u.log()) {
		if strings.Contains(line, "cannot") || strings.Contains(line, "panic") {
			t.Logf("log: %s", line)
		}
	}
}

type lastWord struct {
	Reason             string
	ExitCode, Restarts int
	Stderr             string
}

// word is the termination log.
func (r *round) word() (w lastWord) {
	r.t.Helper()
	log := readLog(r.t, r.log)
	if r.json {
		if err := json.Unmarshal([]byte(log), &w); err != nil {
			r.t.Errorf("termination log: %q: %v", log, err)
		}
		return w
	}
	m := regexp.MustCompile(`^(\w+): .*exit code (\d+)`).FindStringSubmatch(log)
	if m == nil {
		r.t.Errorf("termination log: %q", log)
		return w
	}
	w.Reason = m[1]
	w.ExitCode, _ = strconv.Atoi(m[2])
	if _, after, ok := strings.Cut(log, ", restarts "); ok {
		fmt.Sscan(after, &w.Restarts)
	}
	_, w.Stderr, _ = strings.Cut(log, "\nlast of stderr:\n")
	return w
}
