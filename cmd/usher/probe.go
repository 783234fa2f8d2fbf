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
	"usher/internal/spelling"
	"usher/signals"
	"usher/supervisor/spawn"
)

// endpoints are the values of --probe that are no checks.
var endpoints = []string{"livez", "readyz", "startupz", "healthz"}

// probeCheck makes a check of the value of --probe. An endpoint becomes an HTTP
// check of usher's own first address.
func probeCheck(value string, addrs []string) (*check.Check, error) {
	if !slices.Contains(endpoints, value) {
		if !strings.Contains(value, ":") {
			return nil, fmt.Errorf("--probe %q: want livez, readyz, startupz, healthz or a check%s",
				value, spelling.DidYouMean("", value, endpoints))
		}
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

// usherCheck returns the path at which usher-check has to be: beside usher.
func usherCheck() string {
	var link [unix.PathMax]byte
	own := os.Args[0]
	if n, err := unix.Readlink(self, link[:]); err == nil { // fails without /proc
		own = string(link[:n])
	}
	return own[:strings.LastIndexByte(own, '/')+1] + "usher-check"
}

// endAfter makes SIGALRM end this process if its execve(2) does not return, as
// on a dead file system. Usher-check ignores the signal, as any Go program
// does.
func endAfter(d time.Duration) {
	_, _ = unix.Setitimer(unix.ItimerReal, unix.Itimerval{Value: unix.NsecToTimeval(int64(d))})
}

// probe runs the check once. It returns 0 if the check holds. Otherwise it
// returns 1 and prints the reason to stdout, where Docker's HEALTHCHECK looks
// for it. If usher-check has to run the check, usher becomes usher-check, which
// has a timeout of its own.
func probe(o options, inherited signals.Inherited) int {
	c, timeout := o.probeCheck, o.config.Checks[check.Ready].Params.Timeout
	if c.NeedsTool() {
		endAfter(timeout + time.Second)
		err := spawn.Replace(c.Command(timeout), o.config.Env)
		printOut(1, printable.Line(o.probe+": "+err.Error())+"\n")
		return 1
	}
	c.SetExec(func(ctx context.Context, argv []string) error {
		return spawn.Once(ctx, argv, o.config.Env, inherited)
	})
	ctx, cancel := contexts.WithTimeout(context.Background(), timeout)
	defer cancel()
	if err := c.Run(ctx); err != nil {
		printOut(1, printable.Line(o.probe+": "+err.Error())+"\n")
		return 1
	}
	return 0
}
