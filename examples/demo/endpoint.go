package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"time"
)

// probe asks as an orchestrator does: a new connection each time, one second for the answer.
var probe = &http.Client{
	Timeout:   time.Second,
	Transport: &http.Transport{DisableKeepAlives: true},
}

// get returns status 0, and the error as the body, where there is no answer.
func get(url string) (status int, body string) {
	resp, err := probe.Get(url)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return 0, err.Error()
	}
	return resp.StatusCode, string(b)
}

// showEndpoint prints what curl would.
func showEndpoint(s *screen, url string) error {
	s.command([]string{"curl", url})
	status, body := get(url)
	s.quote(body)
	if status != http.StatusOK {
		return fmt.Errorf("%s answered with status %d, not 200: %s", url, status, body)
	}
	return nil
}

// firstFailure is the line of a verbose answer that says why it is not 200.
func firstFailure(body string) string {
	for line := range strings.Lines(body) {
		if strings.HasPrefix(line, "[-]") {
			return strings.TrimSpace(line)
		}
	}
	return strings.TrimSpace(body)
}

// await polls until done says so, p is gone, or it has taken too long.
func await(ctx context.Context, p *process, limit time.Duration, done func() bool) error {
	deadline := time.After(limit)
	for !done() {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-p.done:
			return fmt.Errorf("it has exited with %d", p.code)
		case <-deadline:
			return fmt.Errorf("not within %s", limit)
		case <-time.After(20 * time.Millisecond):
		}
	}
	return nil
}

// wait reports whether all of d has passed: false if ctx ended first.
func wait(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// listening is false only if the kernel says so: a queue that is full for a moment (python's holds 5) drops connections.
func listening(addr string) bool {
	c, err := net.DialTimeout("tcp", addr, time.Second)
	if err == nil {
		c.Close()
	}
	return !errors.Is(err, syscall.ECONNREFUSED)
}
