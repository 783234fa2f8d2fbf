package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// show is the main run of the demo: behind usher, with a hold.
func show(ctx context.Context, s *screen, o options, usher string, kind *serverKind, dir string) (result, error) {
	c, err := newCandidate(kind, filepath.Join(dir, "usher"))
	if err != nil {
		return result{}, err
	}
	// It exists before usher starts, as kubelet makes it.
	lastWord := filepath.Join(dir, "termination-log")
	if err := os.WriteFile(lastWord, nil, 0o666); err != nil {
		return result{}, err
	}
	// -v for the timeline, which is its last line.
	health, err := c.behind(usher, "--term-delay", o.termDelay.String(), "--termination-log", lastWord, "-v")
	if err != nil {
		return result{}, err
	}
	c.label = fmt.Sprintf("usher --term-delay %s -- %s", o.termDelay, kind.name)
	c.line = &timeline{screen: s}

	s.command(append([]string{o.usher}, c.argv[1:]...))
	defer c.end()
	if err := c.start(ctx); err != nil {
		return result{}, err
	}
	s.print("")
	if c.p.isolated {
		s.print("usher is PID 1 of a new PID namespace, as in a container. From here it is process %d.", c.p.Pid)
	} else {
		s.print("usher is a plain child, process %d: no PID namespace could be had (%v).", c.p.Pid, c.p.refused)
	}
	s.print("")
	for _, path := range []string{"/livez", "/readyz", "/readyz?verbose"} {
		if err := showEndpoint(s, health+path); err != nil {
			return result{}, err
		}
	}

	s.title("A rolling update: SIGTERM, while a load balancer sends requests")
	s.print("It needs %s to let go of an app whose /readyz fails, as endpoints do in a cluster.", o.letGo)
	s.print("")
	b := c.balancer(o.letGo)
	b.onUnready = func(status int, body string) {
		c.line.event("/readyz %d: %s", status, firstFailure(body))
		status, body = get(health + "/livez")
		c.line.event("/livez  %d: %s", status, strings.TrimSpace(body))
		if text, err := os.ReadFile(lastWord); err == nil && len(text) > 0 {
			c.line.event("termination log so far: %s", strings.TrimSpace(string(text)))
		}
	}
	b.onLetGo = func() {
		_, n := b.counts()
		c.line.event("load balancer has let go; %d requests since SIGTERM, %d failed", n.OK+n.Failed(), n.Failed())
	}
	r, err := c.stop(ctx, b)
	if err != nil {
		return result{}, err
	}
	r.hold = o.termDelay
	text, err := os.ReadFile(lastWord)
	r.lastWord = string(text)
	return r, err
}

// control runs the same server without the hold: with no init, behind another
// init, behind usher; all at the same time.
func control(ctx context.Context, s *screen, o options, usher string, kind *serverKind, dir string) ([]result, error) {
	var cs []*candidate
	add := func(label string, change func(*candidate) error) error {
		c, err := newCandidate(kind, filepath.Join(dir, fmt.Sprintf("control%d", len(cs))))
		if err != nil {
			return err
		}
		c.label = label
		cs = append(cs, c)
		return change(c)
	}
	errs := []error{
		add("usher -- "+kind.name+", no --term-delay", func(c *candidate) error {
			_, err := c.behind(usher)
			return err
		}),
	}
	if tini, err := exec.LookPath("tini"); err == nil {
		errs = append(errs, add("tini -- "+kind.name, func(c *candidate) error {
			c.argv = append([]string{tini, "--"}, c.argv...)
			return nil
		}))
	}
	if kind.asPID1 {
		errs = append(errs, add(kind.name+", no init", func(*candidate) error { return nil }))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}

	s.title("The same without the hold")
	s.print("SIGTERM under the same load, to each of")
	for _, c := range cs {
		s.print("  %s", c.label)
	}
	return stopAll(ctx, cs, func(c *candidate) *balancer { return c.balancer(o.letGo) })
}

// stopAll starts all of cs, and stops them at the same time, each under a
// balancer of its own.
func stopAll(ctx context.Context, cs []*candidate, under func(*candidate) *balancer) ([]result, error) {
	for _, c := range cs {
		defer c.end()
		if err := c.start(ctx); err != nil {
			return nil, err
		}
	}
	results, errs := make([]result, len(cs)), make([]error, len(cs))
	var wg sync.WaitGroup
	for i, c := range cs {
		wg.Go(func() { results[i], errs[i] = c.stop(ctx, under(c)) })
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return results, nil
}

// newCandidate returns the server alone, in dir.
func newCandidate(kind *serverKind, dir string) (*candidate, error) {
	addr, err := freeAddr()
	if err != nil {
		return nil, err
	}
	c := &candidate{server: kind.name, addr: addr, ready: "http://" + addr + "/"}
	c.argv, c.pages, err = kind.prepare(kind, dir, c.addr)
	return c, err
}

// behind puts usher in front of the server. It returns the URL of the
// endpoints.
func (c *candidate) behind(usher string, flags ...string) (string, error) {
	addr, err := freeAddr()
	if err != nil {
		return "", err
	}
	argv := append([]string{usher}, flags...)
	argv = append(argv, "--health-addr", addr, "--ready-check", c.ready, "--ready-period", "1s", "--")
	c.argv = append(argv, c.argv...)
	health := "http://" + addr
	c.ready = health + "/readyz"
	return health, nil
}

func (c *candidate) balancer(letGo time.Duration) *balancer {
	return &balancer{
		addr: c.addr, pages: c.pages, ready: c.ready, letGo: letGo,
		onUnready: func(int, string) {}, onLetGo: func() {},
	}
}
