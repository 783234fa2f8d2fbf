package memory

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"usher/supervisor/event"
	"usher/supervisor/lastword"
	"usher/supervisor/process"
)

// fakeGroup is a cgroup of version 2 made of files. Inotify tells of changes as
// with real ones.
type fakeGroup struct {
	t    *testing.T
	root string
}

func (g *fakeGroup) write(file, content string) {
	g.t.Helper()
	path := filepath.Join(g.root, file)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		g.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		g.t.Fatal(err)
	}
}

func (g *fakeGroup) set(limitHits, ooms, kills, usage, cache int) {
	g.write("cg/memory.current", fmt.Sprint(usage<<20))
	g.write("cg/memory.stat", fmt.Sprintf("anon 1\ninactive_file %d\nactive_file 0\n", cache<<20))
	g.write("cg/memory.events", fmt.Sprintf("low 0\nmax %d\noom %d\noom_kill %d\n", limitHits, ooms, kills))
}

// lines is a Log that keeps what it is told.
type lines struct{ all []string }

func (l *lines) Event(e *event.Event) { l.all = append(l.all, e.Text()) }

// end returns the end of a process, by SIGKILL unless the pid is negative.
func end(pid int, name string) death {
	if pid < 0 {
		return death{Proc: process.Proc{PID: -pid, Name: name}}
	}
	return death{process.Proc{PID: pid, Name: name}, true}
}

// A shortage from its beginning to its end, with the time of the next look after
// each event.
func TestShortage(t *testing.T) {
	g := &fakeGroup{t, t.TempDir()}
	g.write("proc/self/cgroup", "0::/\n")
	g.write("proc/self/mountinfo", "1 1 0:1 / /cg ro - cgroup2 cgroup rw\n")
	g.write("cg/memory.max", "104857600\n")
	g.write("cg/memory.peak", "104857600\n")
	g.set(5, 0, 2, 10, 0)
	log := &lines{}
	m := &Shortage{self: os.Getpid(), log: log, root: g.root, fd: -1}
	base := time.Now()
	m.next = base
	at := func(d time.Duration) time.Time { return base.Add(d) }
	word := func() string {
		r := lastword.Record{Ahead: true, Reason: lastword.Signaled}
		m.Complete(&r, 0, time.Now())
		return r.String()
	}
	turn := func(d time.Duration, news bool, next time.Duration) {
		t.Helper()
		if got := m.Turn(at(d)); got != news {
			t.Errorf("after %v: news %v", d, got)
		}
		if (next < 0) != m.next.IsZero() || next >= 0 && !m.next.Equal(at(next)) {
			t.Errorf("after %v: next at %v, want %v", d, m.next.Sub(base), next)
		}
	}
	turn(0, false, -1) // what was counted before belongs to no process here
	turn(time.Second, false, -1)

	// At the limit, but for a file in the cache.
	g.set(50, 0, 2, 100, 60)
	turn(2*time.Second, false, 2100*time.Millisecond)
	g.set(60, 0, 2, 100, 60)
	turn(2050*time.Millisecond, false, 2100*time.Millisecond) // too early to look
	turn(2100*time.Millisecond, false, 2200*time.Millisecond)
	turn(2200*time.Millisecond, false, -1)
	if got := word(); strings.Contains(got, "memory") {
		t.Errorf("no shortage: %s", got)
	}

	// At the limit, with no caches to take back: there is news at once, and again with
	// the largest process, and no more for a second.
	g.set(70, 0, 2, 100, 10)
	turn(3*time.Second, true, 3*time.Second)
	if got := word(); strings.Contains(got, "largest") ||
		!strings.HasPrefix(got, "Signaled: ended from outside; memory limit 100Mi reached at 20") {
		t.Errorf("a shortage: %s", got)
	}
	m.largest = []process.Proc{{PID: 1 << 22, Name: "java", RSS: 90 << 20}} // as measure might find
	turn(3*time.Second, true, 4*time.Second)
	if got := word(); !strings.HasSuffix(got, ", largest: java (pid 4194304) 90Mi") {
		t.Errorf("a shortage: %s", got)
	}
	g.set(80, 1, 2, 100, 10)
	turn(3500*time.Millisecond, false, 4*time.Second)
	turn(4*time.Second, true, 4*time.Second)
	turn(4*time.Second, true, 5*time.Second)
	if got := word(); !strings.HasPrefix(got, "OOMKilled: ended from outside; memory limit") {
		t.Errorf("the kernel is about to kill: %s", got)
	}

	// A child is killed, and the shortage ends.
	g.set(80, 1, 3, 10, 0)
	turn(5*time.Second, false, 5100*time.Millisecond)
	if len(log.all) != 1 ||
		!strings.HasPrefix(log.all[0], "out of memory: java (pid 4194304) killed, memory limit 100Mi") {
		t.Errorf("log: %q", log.all)
	}
	if got := m.Note(); got != log.all[0] {
		t.Errorf("for a probe: %q", got)
	}
	moved := m.moved
	m.moved = at(4 * time.Second)
	turn(5100*time.Millisecond, false, 14*time.Second)
	turn(13*time.Second, false, 14*time.Second)
	turn(14*time.Second, true, -1)
	if got := word(); moved.IsZero() || !strings.HasPrefix(got,
		"Signaled: ended from outside; out of memory: java (pid 4194304) killed, memory limit 100Mi, ") {
		t.Errorf("over: %s", got)
	}

	// An end soon after, and one that has nothing to do with it.
	for _, c := range []struct {
		code   int
		later  time.Duration
		reason lastword.Reason
		want   lastword.Reason
	}{
		{137, 0, lastword.Signaled, lastword.OOMKilled},
		{137, 0, lastword.Error, lastword.OOMKilled},
		{137, 0, lastword.StopTimeout, lastword.StopTimeout},
		{1, 0, lastword.Error, lastword.Error},
		{137, time.Minute, lastword.Signaled, lastword.Signaled},
	} {
		r := lastword.Record{Reason: c.reason}
		m.Complete(&r, c.code, time.Now().Add(c.later))
		if r.Reason != c.want {
			t.Errorf("%+v: %s", c, r.Reason)
		}
	}
	// A kill that is noticed when a process is reaped does not use up the news of a
	// shortage.
	g.set(90, 1, 4, 100, 0)
	m.Killed(process.Proc{PID: 1 << 22, Name: "php"})
	if len(log.all) != 2 || !strings.HasPrefix(log.all[1], "out of memory: 2 processes killed, the last ") {
		t.Errorf("log: %q", log.all)
	}
	turn(20*time.Second, true, 20*time.Second)
	unix.Close(m.fd)
}

// An app may be killed just before usher's first look, and be reaped just after
// it. A kill long before has nothing to do with its end.
func TestKilledBeforeTheFirstLook(t *testing.T) {
	g := &fakeGroup{t, t.TempDir()}
	g.write("proc/self/cgroup", "0::/\n")
	g.write("proc/self/mountinfo", "1 1 0:1 / /cg ro - cgroup2 cgroup rw\n")
	g.write("cg/memory.max", "104857600\n")
	for _, c := range []struct {
		before int           // kills at the first look
		later  time.Duration // after which the app is seen to have ended
		pid    int           // negative: not by SIGKILL
		kills  int
	}{{1, 0, 7, 1}, {0, 0, 7, 0}, {1, earlyTime, 7, 0}, {1, 0, -7, 0}} {
		g.set(5, 1, c.before, 10, 0)
		m := &Shortage{self: os.Getpid(), log: &lines{}, root: g.root, fd: -1}
		m.Cgroup()
		m.first = m.first.Add(-c.later)
		m.look(end(c.pid, ""))
		if m.kills != c.kills {
			t.Errorf("%+v: %d", c, m.kills)
		}
	}
}

// A cgroup may be older than usher: that of a whole machine, or of a container for
// `docker exec`. Earlier kills in it are no news, however soon the app ends.
func TestKilledBeforeUsher(t *testing.T) {
	g := &fakeGroup{t, t.TempDir()}
	g.write("proc/self/cgroup", "0::/\n")
	g.write("proc/self/mountinfo", "1 1 0:1 / /cg ro - cgroup2 cgroup rw\n")
	g.write("cg/memory.max", "104857600\n")
	for _, c := range []struct {
		before, pid int // negative: the app was not ended by SIGKILL
		kills       int
	}{{0, 7, 0}, {0, -7, 0}, {2, -7, 0}, {2, 7, 1}, {1, 7, 1}} {
		g.set(5, 1, c.before, 10, 0)
		log := &lines{}
		m := &Shortage{self: os.Getpid(), log: log, root: g.root, fd: -1}
		m.look(end(c.pid, "app"))
		if m.kills != c.kills || len(log.all) != c.kills {
			t.Errorf("%+v: %d, %q", c, m.kills, log.all)
		}
	}
}

// A look may come between the kernel's kill and the end of the victim. The victim
// gets its name at its end, and is not counted twice.
func TestNamedOnceItHasEnded(t *testing.T) {
	g := &fakeGroup{t, t.TempDir()}
	g.write("proc/self/cgroup", "0::/\n")
	g.write("proc/self/mountinfo", "1 1 0:1 / /cg ro - cgroup2 cgroup rw\n")
	g.write("cg/memory.max", "104857600\n")
	for _, c := range []struct {
		later time.Duration // after which it is seen to have ended
		pid   int           // negative: not by SIGKILL
		want  string
	}{{0, 7, "app (pid 7)"}, {earlyTime, 7, "a process"}, {0, -7, "another (pid 8)"}} {
		g.set(5, 1, 0, 10, 0)
		m := &Shortage{self: os.Getpid(), log: &lines{}, root: g.root, fd: -1}
		m.Cgroup()
		g.set(5, 1, 1, 10, 0)
		m.look(death{})
		m.unnamed = m.unnamed.Add(-c.later)
		m.look(end(c.pid, "app"))
		m.look(end(8, "another"))
		if m.kills != 1 || m.victim != c.want {
			t.Errorf("%+v: %d, %s", c, m.kills, m.victim)
		}
	}
}
