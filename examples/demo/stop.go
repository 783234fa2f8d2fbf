package main

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"time"

	"usher/examples/load"
)

// candidate is one way to start a server: behind usher, behind another init, on
// its own.
type candidate struct {
	label  string
	argv   []string
	server string // name of the server
	addr   string // where the server listens
	pages  []string
	ready  string    // URL that tells a load balancer whether it is ready
	line   *timeline // timeline of usher's stop; nil for none

	p *process

	mu  sync.Mutex
	log []string // the last lines of output, for the error message
}

// result is the result of a candidate's run.
type result struct {
	label         string
	before, after load.Tally
	hold          time.Duration // usher's --term-delay
	began         time.Time     // when SIGTERM was sent; what follows counts from there
	unready       time.Duration // until the load balancer saw that it was not ready
	letGo         time.Duration // until the last request had been answered
	gone          time.Duration // until the server's port was closed
	answers       []answer
	code          int
	lastWord      string // the termination log
}

// start returns when the candidate is ready. Only main may call it (see init),
// and has to call end afterwards, also after an error.
func (c *candidate) start(ctx context.Context) (err error) {
	if c.p, err = start(c.argv, c.output); err != nil {
		return err
	}
	ready := func() bool { status, _ := get(c.ready); return status == http.StatusOK }
	if err := await(ctx, c.p, 10*time.Second, ready); err != nil {
		return c.fail("did not become ready", err)
	}
	return nil
}

func (c *candidate) end() {
	if c.p != nil {
		c.p.end()
	}
}

// output receives a line of the candidate's output. usher's own lines go into
// the timeline.
func (c *candidate) output(text string) {
	if strings.HasPrefix(text, "usher: ") {
		c.line.event("%s", text)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.log = append(c.log, text); len(c.log) > 10 {
		c.log = c.log[1:]
	}
}

func (c *candidate) fail(what string, err error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return fmt.Errorf("%q %s: %w\n%s", c.label, what, err, strings.Join(c.log, "\n"))
}

// stop sends SIGTERM while b sends requests, after a time of requests alone. It
// returns when everything has ended.
func (c *candidate) stop(ctx context.Context, b *balancer) (result, error) {
	ctx, cancel := context.WithCancel(ctx)
	over := make(chan struct{})
	go func() {
		defer close(over)
		b.run(ctx)
	}()
	defer func() { cancel(); <-over }()

	if !wait(ctx, steady) {
		return result{}, ctx.Err()
	}
	b.stopping()
	c.line.begin()
	c.line.event("SIGTERM sent to usher")
	begin := time.Now()
	if err := c.p.Signal(syscall.SIGTERM); err != nil {
		return result{}, c.fail("cannot be sent SIGTERM", err)
	}
	for listening(c.addr) {
		if !wait(ctx, 50*time.Millisecond) {
			return result{}, ctx.Err()
		}
		if time.Since(begin) > stopLimit {
			return result{}, c.fail("does not stop", fmt.Errorf("%s still listens after %s", c.server, stopLimit))
		}
	}
	r := result{label: c.label, gone: time.Since(begin)}
	c.line.event("%s is gone: its port is closed", c.server)
	if err := c.ended(ctx, c.p.done); err != nil {
		return result{}, err
	}
	c.line.event("usher has exited with %d", c.p.code)
	if err := c.ended(ctx, over); err != nil {
		return result{}, err
	}
	b.report(&r)
	r.code = c.p.code
	return r, nil
}

func (c *candidate) ended(ctx context.Context, done <-chan struct{}) error {
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(stopLimit):
		return c.fail("does not end", fmt.Errorf("%s has been gone for %s", c.server, stopLimit))
	}
}

const (
	steady    = time.Second      // time of requests before SIGTERM
	stopLimit = 30 * time.Second // far longer than any step of a stop takes
)
