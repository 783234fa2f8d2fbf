package main_test

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// resources are what a leak would show in.
type resources struct{ descriptors, threads, privateKB int }

func (u *usher) resources() (r resources) {
	u.t.Helper()
	dir := fmt.Sprintf("/proc/%d/", u.cmd.Process.Pid)
	fds, err := os.ReadDir(dir + "fd")
	if err != nil {
		u.t.Fatal(err)
	}
	r.descriptors = len(fds)
	status, err := os.ReadFile(dir + "status")
	if err != nil {
		u.t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		fmt.Sscanf(line, "Threads: %d", &r.threads)
		fmt.Sscanf(line, "RssAnon: %d", &r.privateKB)
	}
	return r
}

// 100,000 signals and 100,000 orphans, while the endpoints are asked: nothing is lost, nothing is left, nothing grows.
func TestSoak(t *testing.T) {
	if testing.Short() {
		t.Skip("takes half a minute")
	}
	if !made.complete {
		t.Skip("os/signal coalesces real-time signals")
	}
	const signalsSent, orphans = 100_000, 100_000
	health := freePort(t)
	orphaned := start(t, &made, "-v", "--health-addr", health, "--", "dash", "-c", script("soak.sh"), strconv.Itoa(orphans/50))
	signalled := start(t, &made, "--", receiver)
	orphaned.printed("ready\n")
	signalled.printed("ready\n")
	get(t, "http://"+health+"/livez", 200)
	before := []resources{orphaned.resources(), signalled.resources()}

	sent := 0
	for deadline := time.Now().Add(8 * patience); sent < signalsSent || !strings.Contains(orphaned.stdout.String(), "zombies "); {
		if time.Now().After(deadline) {
			t.Fatalf("%d signals sent; stdout %s", sent, &orphaned.stdout)
		}
		for range min(1000, signalsSent-sent) {
			// The queue is bounded (RLIMIT_SIGPENDING), so a full one is waited for.
			if err := sigqueue(signalled.cmd.Process.Pid, 40, uint64(sent)); err == unix.EAGAIN {
				break
			} else if err != nil {
				t.Fatal(err)
			}
			sent++
		}
		get(t, "http://"+health+"/readyz", 200)
	}
	if out := orphaned.stdout.String(); !strings.HasSuffix(out, "zombies 0\n") {
		t.Errorf("zombies are left: %s", out)
	}
	signalled.printed(fmt.Sprintf("40 -1 0 %d\n", signalsSent-1))
	if n := strings.Count(signalled.stdout.String(), "\n40 "); n != signalsSent {
		t.Errorf("%d of %d signals arrived", n, signalsSent)
	}
	for i, u := range []*usher{orphaned, signalled} {
		after := u.resources()
		t.Logf("before %+v, after %+v", before[i], after)
		if after.descriptors > before[i].descriptors+2 { // a keep-alive connection may be open
			t.Errorf("descriptors: %d, then %d", before[i].descriptors, after.descriptors)
		}
		if after.privateKB > 2<<10 { // however little it was before: the heap may have been caught at its largest
			t.Errorf("private memory: %d kB, then %d kB", before[i].privateKB, after.privateKB)
		}
		u.signal(unix.SIGTERM)
		u.want(42)
	}
	orphaned.logged("orphans reaped")
	var n int
	if head, _, ok := strings.Cut(orphaned.stderr.String(), " orphans reaped"); ok {
		fmt.Sscanf(head[strings.LastIndexByte(head, ' ')+1:], "%d", &n)
	}
	if n < orphans {
		t.Errorf("%d orphans were reaped, %d were made", n, orphans)
	}
}
