// Package load sends requests like the clients of a server, and counts the
// failed ones.
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

// Tally counts requests by their result.
type Tally struct{ OK, Refused, Cut, Other int }

// Failed returns the number of failed requests.
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
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF),
		errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		t.Cut++
	default:
		t.Other++
	}
}

// Client is an HTTP client that tries each request once. Go's own client
// repeats a GET by itself if a kept connection turns out to be closed, and
// would hide the failures that have to be counted.
type Client struct {
	// Addr is the address of the server, host:port.
	Addr string
	// KeepAlive sends the requests over one connection, as long as the server keeps
	// it open.
	KeepAlive bool
	// Timeout limits one request.
	Timeout time.Duration
	// Rate is how many bytes of a page are read in a second, as on a slow line;
	// 0 is as many as come.
	Rate int

	conn net.Conn
	r    *bufio.Reader
}

// Close closes the kept connection.
func (c *Client) Close() {
	if c.conn != nil {
		c.conn.Close()
		c.conn = nil
	}
}

// Get returns nil if a complete page has come with status 200.
func (c *Client) Get(page string) (err error) {
	if c.conn == nil {
		if c.conn, err = net.DialTimeout("tcp", c.Addr, c.Timeout); err != nil {
			c.conn = nil
			return err
		}
		c.r = bufio.NewReader(c.conn)
		if c.Rate > 0 { // so that what is not read yet is still the server's to send
			c.conn.(*net.TCPConn).SetReadBuffer(64 << 10)
		}
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
	if _, err := io.Copy(io.Discard, &line{r: resp.Body, rate: c.Rate}); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", page, resp.Status)
	}
	keep = c.KeepAlive && !resp.Close
	return nil
}

// line reads no more than so many bytes a second; 0 is as many as come.
type line struct {
	r     io.Reader
	rate  int
	began time.Time
	read  int
}

func (l *line) Read(p []byte) (int, error) {
	if l.rate > 0 {
		if l.read == 0 {
			l.began = time.Now()
		}
		time.Sleep(time.Until(l.began.Add(time.Duration(l.read) * time.Second / time.Duration(l.rate))))
	}
	n, err := l.r.Read(p)
	l.read += n
	return n, err
}
