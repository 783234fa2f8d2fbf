// Package check asks a server whether it is well, by Kubernetes' rules, once or
// periodically.
//
// It has an HTTP client of its own for the same reason for which package
// healthz has a server of its own: size.
package check

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"usher/healthz/socket"
	"usher/internal/contexts"
	"usher/internal/file"
	"usher/signals/entry"
)

type kind int

const ( // in the order of kinds
	kindTCP kind = iota
	kindHTTP
	kindUnix
	kindFile
	kindExec
	kindNotify
	kindHTTPS
	kindGRPC
	kindGRPCS
)

// Check is one check, as Parse reads it. It may run any number of times at
// once, but its look-ups of paths take turns.
type Check struct {
	spec string
	kind kind

	host, port string   // host without brackets
	hostHeader string   // http: the Host header: host and port of the spec, without an IPv6 zone
	target     string   // http: path and query; unix, file: the path; grpc: the service
	headers    []Header // http: further header fields
	argv       []string // exec: the command
	tool       string   // path of usher-check
	exec       Exec
	own        bool   // http: the check asks usher's own endpoint
	socket     string // http: the path of a socket, instead of host and port; "" for none
	ports      *socket.Ports
	turn       file.Turn // allows one look at the file system at a time
}

// Endpoint returns a check of usher's own endpoint at an http spec, or at the
// socket with that path if there is one. The check fails with the failures that
// the endpoint lists.
func Endpoint(spec, socket string) (*Check, error) {
	c, err := Parse(spec)
	if err == nil {
		c.own, c.socket = true, socket
	}
	return c, err
}

// Exec runs a command within ctx and kills it at the end of ctx. It returns
// nil, or why the command has failed. At a timeout the error is, or wraps,
// context.DeadlineExceeded; in its text, the command's last line of output
// follows.
type Exec func(ctx context.Context, argv []string) error

// SetExec sets the function that runs commands, because a check never waits for
// a child itself. Call it before Run.
func (c *Check) SetExec(exec Exec) { c.exec = exec }

// SetPorts makes ports remember the local port of each connection of the check.
// Call it before Run.
func (c *Check) SetPorts(ports *socket.Ports) { c.ports = ports }

// SetTool sets the path of usher-check. Call it before Run if NeedsTool returns
// true.
func (c *Check) SetTool(path string) { c.tool = path }

// NeedsTool reports whether usher-check has to run this check, because TLS and
// HTTP/2 are too large for usher.
func (c *Check) NeedsTool() bool { return c.kind >= kindHTTPS }

// LookUps returns how many paths the check looks up at a time, the resolver's
// files included (see file.Within): 1 or 0. For nil it is 0.
func (c *Check) LookUps() int {
	switch {
	case c == nil || c.kind > kindFile || c.kind < kindUnix && c.host == localhost:
		return 0
	case c.kind < kindUnix:
		if _, err := netip.ParseAddr(c.host); err == nil {
			return 0
		}
	}
	return 1
}

// IsNotify reports whether the app itself sends the result, by sd_notify. Run
// cannot ask for it.
func (c *Check) IsNotify() bool { return c.kind == kindNotify }

// Command returns the command that runs for the check: usher-check, or the
// command of exec. For other checks it is nil.
func (c *Check) Command(timeout time.Duration) []string {
	if !c.NeedsTool() {
		return c.argv
	}
	argv := []string{c.tool, "--timeout", timeout.String()}
	for _, h := range c.headers {
		argv = append(argv, "--check-header", h.Name+": "+h.Value)
	}
	return append(argv, c.spec)
}

// String returns the spec, unchanged.
func (c *Check) String() string { return c.spec }

// Run runs the check once. It returns nil if the check holds. Otherwise the
// error has one line for an operator: "connection refused", "timeout after 1s:
// no connection", "HTTP 503 Service Unavailable". The end of ctx limits all of
// it: resolving, connecting, writing, reading.
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
		if err == file.ErrNoAnswer {
			stage = err.Error()
		}
		if _, last, ok := strings.Cut(err.Error(), context.DeadlineExceeded.Error()+": "); ok {
			stage += ": " + last // a command's last line of output
		}
		limit := cmp.Or(contexts.Timeout(ctx), deadline.Sub(start).Round(time.Millisecond))
		return fmt.Errorf("timeout after %v: %s", limit, stage)
	}
	return plain(err)
}

// The stage at which a timeout came, for its text.
const (
	stageResolve  = "no answer from a name server"
	stageConnect  = "no connection"
	stageResponse = "no response"
	stageExec     = "still running"
)

func (c *Check) ask(ctx context.Context) (stage string, err error) {
	switch c.kind {
	case kindUnix:
		return stageConnect, connectUnix(ctx, &c.turn, c.target)
	case kindNotify:
		return "", errors.New("only the usher that runs the app knows its notifications")
	case kindFile:
		return "", file.Within(ctx, &c.turn, func() error {
			var st unix.Stat_t
			err := unix.Stat(c.target, &st)
			if err == unix.EACCES { // it may be readable only for the app's user
				entry.Raise()
				err = unix.Stat(c.target, &st)
				entry.Restore()
			}
			return err
		})
	}
	if c.NeedsTool() || c.argv != nil {
		return stageExec, c.runCommand(ctx)
	}
	conn, stage, err := c.dial(ctx)
	if err != nil {
		return stage, err
	}
	defer conn.Close()
	if c.kind == kindTCP {
		return "", nil
	}
	if deadline, limited := ctx.Deadline(); limited {
		conn.SetDeadline(deadline)
	}
	// The end of ctx ends all reads and writes.
	stop := contexts.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	return stageResponse, c.get(ctx, conn)
}

func (c *Check) runCommand(ctx context.Context) error {
	left := time.Minute
	if deadline, limited := ctx.Deadline(); limited {
		left = time.Until(deadline)
	}
	err := c.exec(ctx, c.Command(left))
	if reason, ok := strings.CutPrefix(text(err), "exit code 1: "); ok && c.NeedsTool() {
		return errors.New(reason) // the reason that usher-check has printed
	}
	return err
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func isTimeout(err error) bool {
	return err == file.ErrNoAnswer || errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded)
}

// plain reduces an error to what an operator needs. The endpoint's answer names
// the check, not addresses and operations.
func plain(err error) error {
	for e := err; e != nil; e = errors.Unwrap(e) { // not errors.As, whose reflection is large
		if errno, ok := e.(syscall.Errno); ok {
			return errno
		}
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("connection closed without a response")
	}
	return err
}

// URL returns the URL of an http or https check, in the form for net/http.
func (c *Check) URL() string {
	authority := c.hostHeader
	if strings.Contains(c.host, "%") {
		authority = c.authority() // with the zone, which the header lacks
	}
	return kinds[c.kind] + "://" + authority + c.target
}

// Service returns the address of a gRPC check, as in a URL, and the name of the
// service.
func (c *Check) Service() (address, name string) { return c.authority(), c.target }

func (c *Check) authority() string {
	if strings.Contains(c.host, ":") {
		return "[" + strings.ReplaceAll(c.host, "%", "%25") + "]:" + c.port // RFC 6874
	}
	return c.host + ":" + c.port
}
