package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"

	client "usher/examples/load"
)

// Counts is what load prints: all since its start.
type Counts struct {
	OK     int
	Failed int
	// Kinds is how many have failed in which way; Last is the most recent failures,
	// with their time.
	Kinds map[string]int `json:",omitempty"`
	Last  []string       `json:",omitempty"`
}

// load sends requests to a server, each over a new connection, and prints its
// counts every second.
func load(args []string) error {
	flags := flag.NewFlagSet("load", flag.ContinueOnError)
	addr := flags.String("addr", "", "host:port")
	page := flags.String("page", "/", "what is asked for")
	rate := flags.Int("rate", 300, "requests a second, all workers together, where the server is as fast")
	workers := flags.Int("workers", 6, "requests at a time")
	timeout := flags.Duration("timeout", 10*time.Second, "for one request")
	if err := flags.Parse(args); err != nil {
		return err
	}
	var mu sync.Mutex
	counts := Counts{Kinds: map[string]int{}}
	for range *workers {
		go func() {
			c := &client.Client{Addr: *addr, Timeout: *timeout}
			for range time.Tick(time.Second * time.Duration(*workers) / time.Duration(*rate)) {
				began := time.Now()
				err := c.Get(*page)
				mu.Lock()
				if err == nil {
					counts.OK++
				} else {
					counts.Failed++
					counts.Kinds[kind(err)]++
					counts.Last = append(counts.Last, fmt.Sprintf("%s, after %v: %v",
						began.UTC().Format("15:04:05.000"), time.Since(began).Round(time.Millisecond), err))
					counts.Last = counts.Last[max(0, len(counts.Last)-20):]
				}
				mu.Unlock()
			}
		}()
	}
	out := json.NewEncoder(os.Stdout)
	for range time.Tick(time.Second) {
		mu.Lock()
		err := out.Encode(counts)
		mu.Unlock()
		if err != nil {
			return err
		}
	}
	return nil
}

// kind is how a request has failed.
func kind(err error) string {
	var tally client.Tally
	tally.Add(err)
	switch {
	case tally.Refused > 0:
		return "refused"
	case tally.Cut > 0:
		return "cut"
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, syscall.ETIMEDOUT):
		return "timeout"
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return "unreachable"
	}
	return "other"
}
