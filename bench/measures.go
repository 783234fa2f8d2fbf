package main

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// measure is one group of rows of the table. run returns the values of one
// round for one init, by row.
type measure struct {
	name   string
	rounds int
	run    func(b *bench, p peer) (map[string]float64, error)
}

var measures = []measure{
	{"start and end", 300, startAndEnd},
	{"signal", 20, latencies},
	{"many signals", 3, many},
	{"orphans", 3, orphans},
	{"idle", 1, idle},
}

// startAndEnd measures the time from the exec of the init to the app's first
// instruction, and from the app's end to the init's end as its parent sees it,
// in microseconds.
func startAndEnd(b *bench, p peer) (map[string]float64, error) {
	r, err := start(p, b.app, "end")
	if err != nil {
		return nil, err
	}
	defer r.free()
	status, at := r.wait()
	if status != 0 || r.page.first == 0 {
		return nil, fmt.Errorf("ended with %#x", status)
	}
	return map[string]float64{
		"start, µs": float64(r.page.first-r.page.exec) / 1e3,
		"exit, µs":  float64(at-r.page.last) / 1e3,
	}, nil
}

// latencies measures the median time from kill(2) of the init to the signal's
// arrival in the app, in microseconds.
func latencies(b *bench, p peer) (map[string]float64, error) {
	rows := map[string]float64{}
	for _, kind := range []struct {
		row  string
		cpus int
		n    int
		wait time.Duration
	}{
		{"signal, one CPU, µs", 1, 200, 0},
		{"signal, two CPUs, µs", 2, 200, 0},
		{"signal after 25 ms idle, µs", 2, 10, 25 * time.Millisecond},
	} {
		if err := useCPUs(kind.cpus); err != nil {
			return nil, err
		}
		r, err := start(p, b.app, "signals")
		if err == nil {
			err = r.said()
		}
		var took []float64
		for i := 0; i < kind.n && err == nil; i++ {
			time.Sleep(kind.wait)
			began := now()
			_ = unix.Kill(r.pid, unix.SIGUSR1)
			err = r.said()
			took = append(took, float64(r.page.signal-began)/1e3)
		}
		r.kill()
		_ = useCPUs(2)
		if err != nil {
			return nil, err
		}
		slices.Sort(took)
		rows[kind.row] = took[len(took)/2]
	}
	return rows, nil
}

// useCPUs pins the calling thread, and the processes that it starts, to the
// first n CPUs.
func useCPUs(n int) error {
	var set unix.CPUSet
	for i := range n {
		set.Set(i)
	}
	return unix.SchedSetaffinity(0, &set)
}

// distinct are the signals that every init can forward.
var distinct = []unix.Signal{
	unix.SIGHUP, unix.SIGINT, unix.SIGQUIT, unix.SIGUSR1, unix.SIGUSR2, unix.SIGPIPE, unix.SIGALRM, unix.SIGTERM,
	unix.SIGSTKFLT, unix.SIGCONT, unix.SIGURG, unix.SIGXCPU, unix.SIGXFSZ, unix.SIGVTALRM, unix.SIGPROF,
	unix.SIGWINCH, unix.SIGIO, unix.SIGPWR,
}

// queued is the number of real-time signals that are sent at once.
const queued = 10_000

// many counts how many queued real-time signals arrive, and how many with their
// value. It also counts distinct signals of one burst.
func many(b *bench, p peer) (map[string]float64, error) {
	r, err := start(p, b.app, "signals")
	if err != nil {
		return nil, err
	}
	defer func() { r.kill() }()
	if err := r.said(); err != nil {
		return nil, err
	}
	const sig = 40 // no C library keeps it for itself
	for i := range queued {
		info := struct {
			signo, errno, code, _ int32
			pid, uid              int32
			value                 int64
			_                     [96]byte
		}{code: -1, value: int64(i)} // SI_QUEUE
		_, _, errno := unix.Syscall(unix.SYS_RT_SIGQUEUEINFO, uintptr(r.pid), sig, uintptr(unsafe.Pointer(&info)))
		if errno != 0 {
			return nil, fmt.Errorf("rt_sigqueueinfo: %w", errno)
		}
	}
	r.settled()
	rows := map[string]float64{
		"queued signals, of 10000": float64(r.page.arrived),
		"…with their value":        float64(r.page.ordered),
	}
	r.page.set = 0
	for _, sig := range distinct {
		_ = unix.Kill(r.pid, sig)
	}
	r.settled()
	n := 0
	for _, sig := range distinct {
		n += int(r.page.set >> (sig - 1) & 1)
	}
	rows["distinct signals, of 18"] = float64(n)
	return rows, nil
}

// settled returns when no signal has arrived for a while.
func (r *run) settled() {
	for last := uint64(1 << 63); last != r.page.arrived; time.Sleep(50 * time.Millisecond) {
		last = r.page.arrived
	}
}

// manyOrphans is the number of processes that a round leaves to the init.
const manyOrphans = 20_000

// orphans measures the init's processor time for each orphan that it reaps, in
// microseconds.
func orphans(b *bench, p peer) (map[string]float64, error) {
	if p.argv == nil {
		return nil, nil // there is no init that reaps
	}
	r, err := start(p, b.app, "orphans", strconv.Itoa(manyOrphans))
	if err != nil {
		return nil, err
	}
	defer func() { r.kill() }()
	if err := r.said(); err != nil {
		return nil, err
	}
	before := cpu(r.pid)
	_ = unix.Kill(r.pid, unix.SIGUSR1)
	if err := r.said(); err != nil {
		return nil, err
	}
	time.Sleep(100 * time.Millisecond) // for the last orphans
	used := float64(cpu(r.pid)-before) / 1e3
	return map[string]float64{"processor time per orphan, µs": used / manyOrphans}, nil
}

// idleTime is how long idle inits are watched.
const idleTime = 20 * time.Second

// idle measures an init's memory and threads, and how often it wakes up, while
// nothing happens.
func idle(b *bench, p peer) (map[string]float64, error) {
	r, err := start(p, b.app, "signals")
	if err != nil {
		return nil, err
	}
	defer func() { r.kill() }()
	if err := r.said(); err != nil {
		return nil, err
	}
	time.Sleep(2 * time.Second)
	dir := fmt.Sprintf("/proc/%d/", r.pid)
	before := sum(dir, "_ctxt_switches:")
	time.Sleep(idleTime)
	rows := map[string]float64{
		"wake-ups per second": (sum(dir, "_ctxt_switches:") - before) / idleTime.Seconds(),
		"resident, kB":        field(dir+"status", "VmRSS:"),
		"…written to, kB":     field(dir+"smaps_rollup", "Private_Dirty:"),
		"threads":             field(dir+"status", "Threads:"),
	}
	if p.argv != nil {
		if st, err := os.Stat(p.argv[0]); err == nil {
			rows["binary, kB"] = float64(st.Size()) / 1e3
		}
	}
	return rows, nil
}

// field returns the sum of the numbers in a /proc file's lines whose name has
// that ending.
func field(file, name string) (total float64) {
	text, _ := os.ReadFile(file)
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) > 1 && strings.HasSuffix(f[0], name) {
			n, _ := strconv.ParseFloat(f[1], 64)
			total += n
		}
	}
	return total
}

// sum adds up a field of all threads.
func sum(dir, name string) (total float64) {
	tasks, _ := os.ReadDir(dir + "task")
	for _, task := range tasks {
		total += field(dir+"task/"+task.Name()+"/status", name)
	}
	return total
}
