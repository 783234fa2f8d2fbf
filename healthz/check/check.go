// Package check asks a server whether it is well, by Kubernetes' rules, and keeps asking.
//
// It has its own HTTP client on top of package net for the same reason for which package healthz has its own server: size.
package check

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

type kind int

const (
	kindTCP kind = iota
	kindHTTP
	kindUnix
	kindFile
)

// Check is one thing that can be asked, as Parse reads it. It has no state: it may be run any number of times at once.
type Check struct {
	spec string
	kind kind

	host, port string   // host without brackets
	hostHeader string   // http: as the spec has it, without an IPv6 zone
	target     string   // http: path and query; unix, file: the path
	headers    []Header // http: further ones
}

// String returns the spec as it was given.
func (c *Check) String() string { return c.spec }

// Run asks once. It returns nil where the check holds, and otherwise an error of one line that says why not, and is meant
// for an operator: "connection refused", "timeout after 1s: no connection", "HTTP 503 Service Unavailable". The context's
// end bounds all of it: resolving, connecting, writing, reading.
func (c *Check) Run(ctx context.Context) error {
	start := time.Now()
	stage, err := c.ask(ctx)
	if err == nil {
		return nil
	}
	deadline, limited := ctx.Deadline()
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		return context.Canceled
	case limited && isTimeout(err) && !time.Now().Before(deadline):
		return fmt.Errorf("timeout after %v: %s", deadline.Sub(start).Round(time.Millisecond), stage)
	}
	return plain(err)
}

// What was being waited for, for the text of a timeout.
const (
	stageConnect  = "no connection"
	stageResponse = "no response"
)

func (c *Check) ask(ctx context.Context) (stage string, err error) {
	switch c.kind {
	case kindUnix:
		return stageConnect, connectUnix(ctx, c.target)
	case kindFile:
		var st unix.Stat_t
		return "", unix.Stat(c.target, &st)
	}
	conn, err := dial(ctx, c.host, c.port)
	if err != nil {
		return stageConnect, err
	}
	defer conn.Close()
	if c.kind == kindTCP {
		return "", nil
	}
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) }) // ends what waits for the connection
	defer stop()
	return stageResponse, c.get(ctx, conn)
}

// dial connects to host and port. Every address of a name is tried, each with its share of the time that is left.
//
// "localhost" is not looked up but means the loopback addresses (RFC 6761 6.3): an image from scratch may have no
// /etc/hosts, and Go's resolver would then ask a name server.
func dial(ctx context.Context, host, port string) (net.Conn, error) {
	// No keepalive: a check's connection lives for a moment. PreferGo is what CGO_ENABLED=0 gives; it holds for tests too.
	d := net.Dialer{KeepAlive: -1, Resolver: &net.Resolver{PreferGo: true}}
	if host != "localhost" {
		return d.DialContext(ctx, "tcp", net.JoinHostPort(host, port))
	}
	conn, err := d.DialContext(ctx, "tcp", net.JoinHostPort("127.0.0.1", port))
	if err == nil || ctx.Err() != nil {
		return conn, err
	}
	if conn, err6 := d.DialContext(ctx, "tcp", net.JoinHostPort("::1", port)); err6 == nil {
		return conn, nil
	}
	return nil, err
}

func isTimeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded) || errors.As(err, &t) && t.Timeout()
}

// plain strips an error to what an operator needs: the endpoint's answer names the check, not addresses and operations.
func plain(err error) error {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return errno
	}
	var dns *net.DNSError
	if errors.As(err, &dns) {
		if dns.IsNotFound {
			return fmt.Errorf("no such host %q", dns.Name)
		}
		return fmt.Errorf("cannot resolve %q: %s", dns.Name, dns.Err)
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("connection closed without a response")
	}
	return err
}
