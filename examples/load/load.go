// Package load sends requests as the clients of a server do, and counts those that fail.
package load

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"syscall"
	"time"
)

// Tally counts requests by how they ended.
type Tally struct{ OK, Refused, Cut, Other int }

// Failed is how many have failed.
func (t Tally) Failed() int { return t.Refused + t.Cut + t.Other }

func (t Tally) String() string {
	return fmt.Sprintf("%d refused, %d cut, %d other", t.Refused, t.Cut, t.Other)
}

// Add counts a request that has ended with err.
func (t *Tally) Add(err error) {
	switch {
	case err == nil:
		t.OK++
	case errors.Is(err, syscall.ECONNREFUSED):
		t.Refused++
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		t.Cut++
	default:
		t.Other++
	}
}

// Client is an HTTP client that tries each request once. Go's own sends a GET again, unasked, when a kept connection
// turns out to be gone, and would hide the failures that are to be counted.
type Client struct {
	// Addr is the server's, host:port.
	Addr string
	// KeepAlive sends one request after the other on one connection, as long as the server keeps that open.
	KeepAlive bool
	// Timeout is for one request.
	Timeout time.Duration

	conn net.Conn
	r    *bufio.Reader
}

// Close closes the connection that is kept.
func (c *Client) Close() {
	if c.conn != nil {
		c.conn.Close()
		c.conn = nil
	}
}

// Get returns nil if all of a page has come, with status 200.
func (c *Client) Get(page string) (err error) {
	if c.conn == nil {
		if c.conn, err = net.DialTimeout("tcp", c.Addr, c.Timeout); err != nil {
			c.conn = nil
			return err
		}
		c.r = bufio.NewReader(c.conn)
	}
	keep := false
	defer func() {
		if !keep {
			c.Close()
		}
	}()
	c.conn.SetDeadline(time.Now().Add(c.Timeout))
	req, err := http.NewRequest(http.MethodGet, "http://"+c.Addr+page, nil)
	if err != nil {
		return err
	}
	req.Close = !c.KeepAlive
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
	keep = c.KeepAlive && !resp.Close
	return nil
}
