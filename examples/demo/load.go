package main

import (
	"context"
	"net/http"
	"sync"
	"time"

	"usher/examples/load"
)

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
	before, after load.Tally // a request counts where it ends: one that the stop cuts counts after it
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

func (b *balancer) counts() (before, after load.Tally) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.before, b.after
}

// work sends one request after the other until end is closed, each on a connection of its own unless keepAlive is set.
func (b *balancer) work(end <-chan struct{}, page string, keepAlive bool) {
	c := &load.Client{Addr: b.addr, KeepAlive: keepAlive, Timeout: requestTimeout}
	defer c.Close()
	for {
		next := time.After(pace)
		err := c.Get(page)
		b.mu.Lock()
		if b.stopped {
			b.after.Add(err)
		} else {
			b.before.Add(err)
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
