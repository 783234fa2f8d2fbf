package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"syscall"
	"time"
)

// tally counts requests by how they ended.
type tally struct{ ok, refused, cut, other int }

func (t tally) failed() int { return t.refused + t.cut + t.other }

func (t tally) String() string {
	return fmt.Sprintf("%d refused, %d cut, %d other", t.refused, t.cut, t.other)
}

func (t *tally) add(err error) {
	switch {
	case err == nil:
		t.ok++
	case errors.Is(err, syscall.ECONNREFUSED):
		t.refused++
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		t.cut++
	default:
		t.other++
	}
}

// balancer stands in for a load balancer, or for kube-proxy: it sends requests to an app until it learns that the app
// is not ready, and goes on for as long as such news takes to get everywhere.
type balancer struct {
	addr  string
	pages []string
	ready string // URL; anything but 200 is not ready
	letGo time.Duration

	// Called once each: when ready has failed (status 0: no answer), and when the last request has been answered.
	onUnready func(status int, body string)
	onLetGo   func()

	mu            sync.Mutex
	stopped       bool
	before, after tally // a request counts where it ends: one that the stop cuts counts after it
}

const (
	pace           = 20 * time.Millisecond // of each worker: 50 requests a second at most
	quickWorkers   = 6
	slowWorkers    = 2
	readyPeriod    = 100 * time.Millisecond
	requestTimeout = 5 * time.Second
)

// run returns when the app has been let go of, or when ctx ends.
func (b *balancer) run(ctx context.Context) {
	end := make(chan struct{})
	var wg sync.WaitGroup
	for i := range quickWorkers {
		wg.Go(func() { b.work(end, b.pages[0], i%2 == 0) })
	}
	for range slowWorkers {
		wg.Go(func() { b.work(end, b.pages[1], true) })
	}
	if b.watch(ctx) {
		wait(ctx, b.letGo)
	}
	close(end)
	wg.Wait()
	b.onLetGo()
}

// watch reports whether the app is not ready any more.
func (b *balancer) watch(ctx context.Context) bool {
	for {
		if status, body := get(b.ready); status != http.StatusOK {
			b.onUnready(status, body)
			return true
		}
		if !wait(ctx, readyPeriod) {
			return false
		}
	}
}

// stopping: what ends from now on counts as after SIGTERM.
func (b *balancer) stopping() {
	b.mu.Lock()
	b.stopped = true
	b.mu.Unlock()
}

func (b *balancer) counts() (before, after tally) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.before, b.after
}

// work sends one request after the other until end is closed, each on a connection of its own unless keepAlive is set.
func (b *balancer) work(end <-chan struct{}, page string, keepAlive bool) {
	c := &client{addr: b.addr, keepAlive: keepAlive}
	defer c.close()
	for {
		next := time.After(pace)
		err := c.get(page)
		b.mu.Lock()
		if b.stopped {
			b.after.add(err)
		} else {
			b.before.add(err)
		}
		b.mu.Unlock()
		select {
		case <-end:
			return
		case <-next:
		}
		select { // both may have been due
		case <-end:
			return
		default:
		}
	}
}

// client is an HTTP client that tries each request once. Go's own sends a GET again, unasked, when a kept connection
// turns out to be gone, and would hide the failures that are to be counted.
type client struct {
	addr      string
	keepAlive bool
	conn      net.Conn
	r         *bufio.Reader
}

func (c *client) close() {
	if c.conn != nil {
		c.conn.Close()
		c.conn = nil
	}
}

// get returns nil if all of a page has come, with status 200.
func (c *client) get(page string) (err error) {
	if c.conn == nil {
		if c.conn, err = net.DialTimeout("tcp", c.addr, requestTimeout); err != nil {
			c.conn = nil
			return err
		}
		c.r = bufio.NewReader(c.conn)
	}
	keep := false
	defer func() {
		if !keep {
			c.close()
		}
	}()
	c.conn.SetDeadline(time.Now().Add(requestTimeout))
	req, err := http.NewRequest(http.MethodGet, "http://"+c.addr+page, nil)
	if err != nil {
		return err
	}
	req.Close = !c.keepAlive
	if err := req.Write(c.conn); err != nil {
		return err
	}
	resp, err := http.ReadResponse(c.r, req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", page, resp.Status)
	}
	keep = c.keepAlive && !resp.Close
	return nil
}
