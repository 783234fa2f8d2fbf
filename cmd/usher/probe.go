package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"usher/healthz"
	"usher/healthz/check"
	"usher/internal/contexts"
	"usher/internal/printable"
	"usher/signals"
	"usher/supervisor/spawn"
)

// endpoints are what --probe takes besides a check.
var endpoints = []string{"livez", "readyz", "startupz", "healthz"}

// probeCheck turns --probe's value into a check: an endpoint is an HTTP check of usher's own first address.
func probeCheck(value string, addrs []string) (*check.Check, error) {
	if !slices.Contains(endpoints, value) {
		return check.Parse(value)
	}
	if len(addrs) == 0 {
		return nil, fmt.Errorf("--probe %s: needs usher's address in --health-addr or USHER_HEALTH_ADDR", value)
	}
	addr, err := healthz.ParseAddr(addrs[0])
	if err != nil {
		return nil, fmt.Errorf("--health-addr %q: %w", addrs[0], err)
	}
	host := addr.String()
	if ip := addr.Addr(); !ip.IsValid() || ip.IsUnspecified() {
		host = fmt.Sprintf("localhost:%d", max(addr.Port(), 1))
	}
	return check.Endpoint("http://"+host+"/"+value, addr.Path)
}

// usherCheck is where usher-check has to lie: beside usher.
func usherCheck() string {
	var link [unix.PathMax]byte
	own := os.Args[0]
	if n, err := unix.Readlink(self, link[:]); err == nil { // or there is no /proc
		own = string(link[:n])
	}
	return own[:strings.LastIndexByte(own, '/')+1] + "usher-check"
}

// endAfter has SIGALRM end this process where its execve(2) does not return, as on a dead file system. Usher-check, as any Go program,
// does not mind the signal.
func endAfter(d time.Duration) {
	_, _ = unix.Setitimer(unix.ItimerReal, unix.Itimerval{Value: unix.NsecToTimeval(int64(d))})
}

// probe runs the check once: 0 if it holds, 1 if not, and then says why on stdout, where Docker's HEALTHCHECK looks for it, and
// for what a command itself has to say. Where usher-check has to run it, usher becomes that, which keeps the time as well.
func probe(o options, inherited signals.Inherited) int {
	c, timeout := o.probeCheck, o.config.Checks[check.Ready].Params.Timeout
	if c.NeedsTool() {
		endAfter(timeout + time.Second)
		err := spawn.Replace(c.Command(timeout), o.config.Env)
		printed(1, printable.Line(o.probe+": "+err.Error())+"\n")
		return 1
	}
	c.SetExec(func(ctx context.Context, argv []string) error {
		return spawn.Once(ctx, argv, o.config.Env, inherited)
	})
	ctx, cancel := contexts.WithTimeout(context.Background(), timeout)
	defer cancel()
	if err := c.Run(ctx); err != nil {
		printed(1, printable.Line(o.probe+": "+err.Error())+"\n")
		return 1
	}
	return 0
}
