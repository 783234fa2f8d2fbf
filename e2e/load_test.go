package e2e

import (
	"bufio"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// requestTimeout is for one request. It bears a machine that stands still for
// some seconds.
const requestTimeout = 15 * time.Second

// counts is what the client in the cluster prints once a second: all since its
// start.
type counts struct {
	OK, Failed int
	Kinds      map[string]int
	Last       []string
}

// clients is a pod that sends requests to a service, each over a new
// connection.
type clients struct {
	n *namespace

	mu      sync.Mutex
	last    counts
	lines   int
	ended   error
	changed chan struct{}
}

// startLoad begins the load. It is a pod of the cluster: where the tests run,
// pods and services may be out of reach.
func (n *namespace) startLoad(address string) *clients {
	n.t.Helper()
	p := pod("load", nil)
	p.Spec.Containers[0].Command = []string{"/app", "load", "-addr", address, "-rate", "350",
		"-timeout", requestTimeout.String()}
	n.create(p)
	n.untilReady("load")
	stream, err := n.client.CoreV1().Pods(n.name).GetLogs("load", &corev1.PodLogOptions{Follow: true}).Stream(n.t.Context())
	if err != nil {
		n.t.Fatal(err)
	}
	c := &clients{n: n, changed: make(chan struct{})}
	go func() {
		defer stream.Close()
		lines := bufio.NewScanner(stream)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			var now counts
			if err := json.Unmarshal(lines.Bytes(), &now); err != nil {
				c.saw(counts{}, fmt.Errorf("the load client says %q: %w", lines.Text(), err))
				return
			}
			c.saw(now, nil)
		}
		c.saw(counts{}, fmt.Errorf("the load client's log has ended: %v", lines.Err()))
	}()
	c.until("there: requests", func() bool { return c.last.OK > 0 })
	return c
}

func (c *clients) saw(now counts, ended error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended = ended; ended == nil {
		c.last = now
		c.lines++
	}
	close(c.changed)
	c.changed = make(chan struct{})
}

// until waits until done, which is asked with the lock held.
func (c *clients) until(what string, done func() bool) counts {
	c.n.t.Helper()
	deadline := time.After(limit)
	for {
		c.mu.Lock()
		is, last, changed, ended := done(), c.last, c.changed, c.ended
		c.mu.Unlock()
		switch {
		case ended != nil:
			c.n.t.Fatal(ended)
		case is:
			return last
		}
		select {
		case <-changed:
		case <-deadline:
			c.n.t.Fatalf("not %s within %v: %+v", what, limit, last)
		}
	}
}

// settled returns the counts when every request that is under way has ended.
func (c *clients) settled() counts {
	c.n.t.Helper()
	c.mu.Lock()
	from := c.lines
	c.mu.Unlock()
	return c.until("settled", func() bool { return c.lines >= from+int(requestTimeout/time.Second)+2 })
}

// during counts the requests from just before do to some seconds after it: at
// least so many.
func (c *clients) during(t *testing.T, what string, requests int, do func()) counts {
	t.Helper()
	c.mu.Lock()
	before := c.last
	c.mu.Unlock()
	began := time.Now()
	do()
	took := time.Since(began)
	c.mu.Lock()
	from := c.lines
	c.mu.Unlock()
	after := c.until(fmt.Sprintf("sent: %d requests", requests), func() bool {
		return c.lines >= from+5 && c.last.OK+c.last.Failed-before.OK-before.Failed >= requests
	})
	now := counts{OK: after.OK - before.OK, Failed: after.Failed - before.Failed, Kinds: map[string]int{}}
	for kind, n := range after.Kinds {
		if n -= before.Kinds[kind]; n > 0 {
			now.Kinds[kind] = n
		}
	}
	if now.Failed > 0 {
		now.Last = after.Last
	}
	t.Logf("%s: %d requests, %d failed %v; it took %.1f s", what, now.OK+now.Failed, now.Failed, now.Kinds, seconds(took))
	t.Logf("%s: %s", what, c.n.stopSeconds(began))
	return now
}

// stopSeconds is how long the pods took that began to stop since then, from
// their deletion until they were gone, and how long usher held.
func (n *namespace) stopSeconds(since time.Time) string {
	all := n.all()
	var gone, held []string
	for _, name := range slices.Sorted(maps.Keys(all)) {
		p := all[name]
		if !p.deleting.After(since) || p.gone.IsZero() {
			continue
		}
		gone = append(gone, fmt.Sprint(seconds(p.gone.Sub(p.deleting))))
		for _, s := range p.Status.ContainerStatuses {
			if s.State.Terminated == nil {
				continue
			}
			if _, after, found := strings.Cut(s.State.Terminated.Message, "held back for "); found {
				took, _, _ := strings.Cut(after, " ")
				held = append(held, took)
			}
		}
	}
	text := "pods gone after " + strings.Join(gone, ", ") + " s"
	if len(held) > 0 {
		text += ", their stop held back for " + strings.Join(held, ", ")
	}
	return text
}
