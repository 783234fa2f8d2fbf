// Package check asks a server whether it is well, by Kubernetes' rules, and keeps asking.
//
// It has its own HTTP client for the same reason for which package healthz has its own server: size.
package check

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"usher/healthz/check/resolve"
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

// Check is one thing that can be asked, as Parse reads it. It may be run any number of times at once; what looks up a path takes turns.
type Check struct {
	spec string
	kind kind

	host, port string   // host without brackets
	hostHeader string   // http: as the spec has it, without an IPv6 zone
	target     string   // http: path and query; unix, file: the path; grpc: the service
	headers    []Header // http: further ones
	argv       []string // exec: the command
	tool       string   // usher-check
	exec       Exec
	own        bool   // http: usher's own endpoint
	socket     string // http: the path of a socket, instead of host and port; "" is none
	ports      *socket.Ports
	turn       file.Turn // for one look at the file system at a time
}

// Endpoint is a check of usher's own endpoint at an http spec, or at the socket with that path if there is one. Its failure is what the
// endpoint lists as failed.
func Endpoint(spec, socket string) (*Check, error) {
	c, err := Parse(spec)
	if err == nil {
		c.own, c.socket = true, socket
	}
	return c, err
}

// Exec runs a command within ctx, kills it at its end and returns why it has failed, or nil. At a timeout the error is, or wraps,
// context.DeadlineExceeded; the text after that is the command's last word.
type Exec func(ctx context.Context, argv []string) error

// SetExec says how commands are run: a check never waits for a child of its own. To be called before Run.
func (c *Check) SetExec(exec Exec) { c.exec = exec }

// SetPorts has ports told the local port of every connection that is made for the check. To be called before Run.
func (c *Check) SetPorts(ports *socket.Ports) { c.ports = ports }

// SetTool says where usher-check is. To be called before Run where NeedsTool.
func (c *Check) SetTool(path string) { c.tool = path }

// NeedsTool reports whether usher-check has to run this check, since TLS and HTTP/2 are too large for usher.
func (c *Check) NeedsTool() bool { return c.kind >= kindHTTPS }

// LookUps is how many paths the check looks up at a time, those of a resolver's files included (see file.Within): 1, or 0, as for nil.
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

// IsNotify reports whether this is what the app tells usher by itself: Run cannot ask for it.
func (c *Check) IsNotify() bool { return c.kind == kindNotify }

// Command is what has to be run for the check, usher-check itself or exec's command; nil where that is nothing.
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
		if err == file.ErrNoAnswer {
			stage = err.Error()
		}
		if _, last, ok := strings.Cut(err.Error(), context.DeadlineExceeded.Error()+": "); ok {
			stage += ": " + last // of a command
		}
		limit := cmp.Or(contexts.Timeout(ctx), deadline.Sub(start).Round(time.Millisecond))
		return fmt.Errorf("timeout after %v: %s", limit, stage)
	}
	return plain(err)
}

// What was being waited for, for the text of a timeout.
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
		return "", errors.New("only usher knows what its app has said")
	case kindFile:
		return "", file.Within(ctx, &c.turn, func() error {
			var st unix.Stat_t
			err := unix.Stat(c.target, &st)
			if err == unix.EACCES { // it may be for the app's user only
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
	stop := contexts.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) }) // ends what waits for the connection
	defer stop()
	return stageResponse, c.get(ctx, conn)
}

func (c *Check) dial(ctx context.Context) (conn *socket.Conn, stage string, err error) {
	if c.socket == "" {
		return c.dialHost(ctx)
	}
	conn, err = socket.DialUnix(ctx, &c.turn, c.socket, unix.SOCK_STREAM)
	return conn, stageConnect, err
}

func (c *Check) runCommand(ctx context.Context) error {
	left := time.Minute
	if deadline, limited := ctx.Deadline(); limited {
		left = time.Until(deadline)
	}
	err := c.exec(ctx, c.Command(left))
	if reason, ok := strings.CutPrefix(text(err), "exit code 1: "); ok && c.NeedsTool() {
		return errors.New(reason) // usher-check's own
	}
	return err
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// localhost is a name that is not looked up.
const localhost = "localhost"

// dialHost connects to host and port. Every address of a name is tried, each with its share of the time that is left.
//
// "localhost" is not looked up but means the loopback addresses (RFC 6761 6.3): an image from scratch may have no
// /etc/hosts, and a name server would be asked.
func (c *Check) dialHost(ctx context.Context) (conn *socket.Conn, stage string, err error) {
	addrs := []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()}
	if c.host != localhost {
		if addrs, err = resolve.Lookup(ctx, &c.turn, c.host); err != nil {
			return nil, stageResolve, err
		}
	}
	n, _ := strconv.ParseUint(c.port, 10, 16)
	for i, addr := range addrs {
		conn, dialErr := dialOne(ctx, addr, uint16(n), len(addrs)-i, c.ports)
		if dialErr == nil {
			return conn, "", nil
		}
		if err == nil || isTimeout(err) {
			err = dialErr // the first, or the first that says more than that time has passed
		}
		if ctx.Err() != nil {
			break
		}
	}
	return nil, stageConnect, err
}

// dialOne connects to one address, within an equal share of the time that is left for as many.
func dialOne(ctx context.Context, addr netip.Addr, port uint16, shares int, ports *socket.Ports) (*socket.Conn, error) {
	sa, err := socket.Address(addr, port)
	if err != nil {
		return nil, err
	}
	if deadline, limited := ctx.Deadline(); limited {
		var cancel context.CancelFunc
		ctx, cancel = contexts.WithTimeout(ctx, time.Until(deadline)/time.Duration(shares))
		defer cancel()
	}
	return socket.Dial(ctx, sa, unix.SOCK_STREAM, ports)
}

func isTimeout(err error) bool {
	return err == file.ErrNoAnswer || errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded)
}

// plain strips an error to what an operator needs: the endpoint's answer names the check, not addresses and operations.
func plain(err error) error {
	for e := err; e != nil; e = errors.Unwrap(e) { // errors.As, which goes by reflection, would cost 27 kB
		if errno, ok := e.(syscall.Errno); ok {
			return errno
		}
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("connection closed without a response")
	}
	return err
}

// URL is an http or https check's, as net/http takes it.
func (c *Check) URL() string {
	authority := c.hostHeader
	if strings.Contains(c.host, "%") {
		authority = c.authority() // the zone is not in the header
	}
	return kinds[c.kind] + "://" + authority + c.target
}

// Service is a gRPC check's address, as a URL has it, and the service's name.
func (c *Check) Service() (address, name string) { return c.authority(), c.target }

func (c *Check) authority() string {
	if strings.Contains(c.host, ":") {
		return "[" + strings.ReplaceAll(c.host, "%", "%25") + "]:" + c.port // RFC 6874
	}
	return c.host + ":" + c.port
}
