package main_test

import (
	"fmt"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"usher/examples/load"
)

// A real load balancer, in a network namespace of its own, that learns by its health checks, and so late, that one of its two servers goes.

const haproxyConf = `global
	maxconn 500
defaults
	mode http
	timeout connect 5s
	timeout client 60s
	timeout server 60s
	retries 0
	option httpchk GET /readyz
frontend front
	bind 127.0.0.1:9000
	default_backend back
backend back
	balance roundrobin
	server going 10.99.0.2:8080 check port %d inter 300ms fall 2 rise 1
	server other 127.0.0.1:8081 check inter 300ms
`

func TestBalancer(t *testing.T) {
	if !ownNetwork(t) {
		return
	}
	haproxy := needs(t, "haproxy", "/usr/sbin/haproxy")
	ip, nsenter, tini := needs(t, "ip", "/usr/sbin/ip"), needs(t, "nsenter"), needs(t, "tini")
	other := commandHere(t, &build{path: goServer(t)}, "127.0.0.1:8081").begin()

	// going starts the server that is to go, in front of it argv, and returns when the balancer has had an answer from it.
	going := func(checkPort int, argv ...string) (u *usher, end func()) {
		// The loopback interface is for usher's own check.
		argv = append(argv, "sh", "-c", ip+` link set lo up && exec "$0" "$@"`, goServer(t), ":8080")
		u = command(t, &build{path: argv[0]}, argv[1:]...)
		u.cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWNET
		u.begin()
		pid := fmt.Sprint(u.cmd.Process.Pid)
		_ = exec.Command(ip, "link", "delete", "out").Run() // the last one's namespace may take its time to go, and the link with it
		for _, line := range []string{
			ip + " link add out type veth peer name in netns " + pid,
			ip + " address add 10.99.0.1/24 dev out",
			ip + " link set out up",
			nsenter + " -t " + pid + " -n " + ip + " address add 10.99.0.2/24 dev in",
			nsenter + " -t " + pid + " -n " + ip + " link set in up",
		} {
			words := strings.Fields(line)
			if out, err := exec.Command(words[0], words[1:]...).CombinedOutput(); err != nil {
				t.Skipf("%s: %v: %s", line, err, out)
			}
		}
		get(t, fmt.Sprintf("http://10.99.0.2:%d/readyz", checkPort), 200)
		conf := t.TempDir() + "/conf"
		write(t, conf, fmt.Sprintf(haproxyConf, checkPort))
		balancer := commandHere(t, &build{path: haproxy}, "-db", "-f", conf).begin()
		eventually(t, func() error { return (&load.Client{Addr: "127.0.0.1:9000", Timeout: time.Second}).Get("/") })
		return u, func() {
			balancer.signal(unix.SIGKILL)
			balancer.wait()
		}
	}

	u, end := going(8086, made.path, "--term-delay", "30s", "--quiet-period", "1s", "--drain-timeout", "15s", "--health-addr", ":8086",
		"--ready-check", "http://localhost:8080/", "--ready-period", "100ms", "--")
	c, took := stopUnderLoad(u, "127.0.0.1:9000", "/", "/?"+slowPage.String())
	end()
	t.Logf("usher: %d served, %v, gone after %v", c.tally.OK, c.tally, took)
	if c.tally.Failed() > 0 || c.tally.OK < 100 {
		t.Errorf("usher: %v: %v\n%s", c.tally, c.errs, &u.stderr)
	}
	if took < 1300*time.Millisecond || took > 20*time.Second {
		t.Errorf("usher: the stop took %v of 30s", took)
	}
	u.logged("quiet for 1s")

	u, end = going(8080, tini, "--")
	c, took = stopUnderLoad(u, "127.0.0.1:9000", "/", "/?"+slowPage.String())
	end()
	t.Logf("tini: %d served, %v, gone after %v", c.tally.OK, c.tally, took)
	if c.tally.Failed() == 0 {
		t.Error("tini: none failed: this test shows nothing")
	}
	other.signal(unix.SIGTERM)
	other.wait()
}
