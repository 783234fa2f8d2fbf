package main

import (
	"context"
	"net/http"
	"sync"
	"time"

	"usher/examples/load"
)

// balancer stands in for a load balancer, or for kube-proxy. It sends requests
// to an app until it learns that the app is not ready, and goes on for as long
// as such news takes to get everywhere.
type balancer struct {
	addr  string
	pages []string
	ready string // URL; any status but 200 means not ready
	letGo time.Duration
	rate  int // bytes that a client reads in a second; 0 is as many as come

	// Each is called once: onUnready when ready has failed (status 0: no answer),
	// and onLetGo when the last request has been answered.
	onUnready func(status int, body string)
	onLetGo   func()

	mu             sync.Mutex
	began          time.Time  // of the stop
	before, after  load.Tally // a request counts when it ends: the stop's victims count in after
	answers        []answer
	unready, ended time.Time // when the app was found not ready, and when the last request had its answer
}

const (
	pace           = 20 * time.Millisecond // time between the requests of a worker: at most 50 a second
	quickWorkers   = 6
	slowWorkers    = 2
	readyPeriod    = 100 * time.Millisecond
	requestTimeout = 15 * time.Second
)

// run sends requests. It returns when the balancer has let go of the app, or
// when ctx ends.
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
	b.mu.Lock()
	b.ended = time.Now()
	b.mu.Unlock()
	b.onLetGo()
}

// watch waits until the app is not ready any more. It returns false if ctx ends
// first.
func (b *balancer) watch(ctx context.Context) bool {
	for {
		if status, body := get(b.ready); status != http.StatusOK {
			b.mu.Lock()
			b.unready = time.Now()
			b.mu.Unlock()
			b.onUnready(status, body)
			return true
		}
		if !wait(ctx, readyPeriod) {
			return false
		}
	}
}

// stopping makes requests that end from now on count as after SIGTERM.
func (b *balancer) stopping() {
	b.mu.Lock()
	b.began = time.Now()
	b.mu.Unlock()
}

func (b *balancer) counts() (before, after load.Tally) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.before, b.after
}

// report fills in what the balancer has seen of the stop, once run has
// returned.
func (b *balancer) report(r *result) {
	b.mu.Lock()
	defer b.mu.Unlock()
	r.before, r.after = b.before, b.after
	r.began, r.answers = b.began, b.answers
	r.unready, r.letGo = b.unready.Sub(b.began), b.ended.Sub(b.began)
}

// work sends one request after the other until end is closed. Each has a
// connection of its own unless keepAlive is set.
func (b *balancer) work(end <-chan struct{}, page string, keepAlive bool) {
	c := &load.Client{Addr: b.addr, KeepAlive: keepAlive, Timeout: requestTimeout, Rate: b.rate}
	defer c.Close()
	for {
		next := time.After(pace)
		err := c.Get(page)
		b.mu.Lock()
		b.answers = append(b.answers, answer{time.Now(), err != nil})
		if b.began.IsZero() {
			b.before.Add(err)
		} else {
			b.after.Add(err)
		}
		b.mu.Unlock()
		select {
		case <-end:
			return
		case <-next:
		}
		select { // end may have been closed as well
		case <-end:
			return
		default:
		}
	}
}
