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

// probe sends requests as an orchestrator does: a new connection each time, and
// one second for the answer.
var probe = &http.Client{
	Timeout:   time.Second,
	Transport: &http.Transport{DisableKeepAlives: true},
}

// get returns the answer's status and body. If there is no answer, status is 0
// and body is the error.
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

// showEndpoint prints what curl would print.
func showEndpoint(s *screen, url string) error {
	s.command([]string{"curl", url})
	status, body := get(url)
	s.quote(body)
	if status != http.StatusOK {
		return fmt.Errorf("%s answered with status %d, not 200: %s", url, status, body)
	}
	return nil
}

// firstFailure returns the line of a verbose answer that says why the status is
// not 200.
func firstFailure(body string) string {
	for line := range strings.Lines(body) {
		if strings.HasPrefix(line, "[-]") {
			return strings.TrimSpace(line)
		}
	}
	return strings.TrimSpace(body)
}

// await polls until done returns true, p has ended, or the time limit has
// passed.
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

// wait waits for d. It returns false if ctx ended first.
func wait(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// listening returns false only if the kernel refuses a connection. A queue that
// is full for a moment (python's holds 5) drops connections.
func listening(addr string) bool {
	c, err := net.DialTimeout("tcp", addr, time.Second)
	if err == nil {
		c.Close()
	}
	return !errors.Is(err, syscall.ECONNREFUSED)
}
