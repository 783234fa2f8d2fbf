package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// serveNetHTTP serves the answer of usher's /readyz with net/http, written in
// the usual way.
func serveNetHTTP(addr string) error {
	http.HandleFunc("/readyz", func(w http.ResponseWriter, _ *http.Request) {
		h := w.Header()
		h.Set("Content-Type", "text/plain; charset=utf-8")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Cache-Control", "no-store")
		io.WriteString(w, "ok")
	})
	return http.ListenAndServe(addr, nil)
}

// requests compares usher's endpoint with the same endpoint on net/http. The
// load is wrk with 32 connections, which are kept, or used for one request
// each. The server runs on one processor and wrk on another, in a network
// namespace that, like a container's, has no packet filter.
//
// One row tells how many requests a server could answer in a second of its
// processor's time. It matters where wrk is the limit: wrk needs more time to
// open a connection than either server needs to answer.
func (b *bench) requests(rounds int) error {
	wrk, err := exec.LookPath("wrk")
	if err != nil {
		fmt.Println("wrk is not installed (apt-get install wrk)")
		return nil
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	if err := ownNetwork(); err != nil {
		return err
	}
	const addr = "127.0.0.1:8086"
	servers := []peer{
		{"usher", []string{b.peers[0].argv[0], "--health-addr", addr, "--", "sleep", "1000"}},
		{"net/http", []string{self, "-serve", addr}},
	}
	rows := []struct{ name, header string }{{"kept", ""}, {"one per request", "Connection: close"}}
	for range rounds {
		for _, p := range servers {
			for _, row := range rows {
				values, err := load(p, wrk, addr, row.header)
				if err != nil {
					return fmt.Errorf("%s: %w", p.name, err)
				}
				for name, v := range values {
					b.add(p.name, map[string]float64{name + ", " + row.name: v})
				}
			}
		}
	}
	fmt.Printf("\n%-50s%16s%16s%36s\n", "/readyz, medians", "usher", "net/http", "usher to net/http (quartiles)")
	for _, row := range rows {
		for _, name := range []string{rateRow, capacityRow, latencyRow, kernelRow} {
			name += ", " + row.name
			u, n := b.values[name]["usher"], b.values[name]["net/http"]
			var ratios []float64
			for i := range u {
				ratios = append(ratios, u[i]/n[i])
			}
			fmt.Printf("%-50s%16.5g%16.5g%16.2f (%.2f–%.2f)\n", name, quantile(u, 0.5), quantile(n, 0.5),
				quantile(ratios, 0.5), quantile(ratios, 0.25), quantile(ratios, 0.75))
		}
	}
	return nil
}

const (
	rateRow     = "requests per second"
	capacityRow = "…of the server's processor time"
	latencyRow  = "99th percentile, µs"
	kernelRow   = "in the kernel for each, µs"
)

var wrkSays = regexp.MustCompile(`(?s)99%\s+([0-9.]+)(us|ms|s)\n.*?(\d+) requests in.*Requests/sec:\s+([0-9.]+)`)

// load measures a second of load, on a server of its own.
func load(p peer, wrk, addr, header string) (map[string]float64, error) {
	if err := onCPU(0); err != nil {
		return nil, err
	}
	defer useCPUs(2)
	server := exec.Command(p.argv[0], p.argv[1:]...)
	if err := server.Start(); err != nil {
		return nil, err
	}
	defer func() {
		server.Process.Signal(unix.SIGTERM)
		server.Wait()
	}()
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(time.Millisecond) {
		c, err := net.Dial("tcp", addr)
		if err == nil {
			c.Close()
			break
		}
		if time.Now().After(deadline) {
			return nil, err
		}
	}
	if err := onCPU(1); err != nil {
		return nil, err
	}
	args := []string{"-t1", "-c32", "-d1s", "--latency"}
	if header != "" {
		args = append(args, "-H", header)
	}
	before, kernelBefore := cpu(server.Process.Pid), kernelTime(server.Process.Pid)
	out, err := exec.Command(wrk, append(args, "http://"+addr+"/readyz")...).CombinedOutput()
	used, kernel := cpu(server.Process.Pid)-before, kernelTime(server.Process.Pid)-kernelBefore
	m := wrkSays.FindSubmatch(out)
	if err == nil && m == nil {
		err = errors.New("cannot read its output")
	}
	if err != nil {
		return nil, fmt.Errorf("wrk: %w\n%s", err, out)
	}
	p99, _ := strconv.ParseFloat(string(m[1]), 64)
	n, _ := strconv.ParseFloat(string(m[3]), 64)
	rate, _ := strconv.ParseFloat(string(m[4]), 64)
	return map[string]float64{
		rateRow:     rate,
		capacityRow: n / used.Seconds(),
		latencyRow:  p99 * map[string]float64{"us": 1, "ms": 1e3, "s": 1e6}[string(m[2])],
		kernelRow:   kernel.Seconds() * 1e6 / n,
	}, nil
}

// kernelTime returns the processor time that a process has spent in the kernel,
// to 10 ms (proc_pid_stat(5), stime).
func kernelTime(pid int) time.Duration {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	ticks, _ := strconv.Atoi(fields[12])
	return time.Duration(ticks) * 10 * time.Millisecond
}

// ownNetwork moves the calling thread, and all processes that it starts later,
// to a new network namespace with a loopback interface.
func ownNetwork() error {
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("unshare: %w", err)
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	ifr, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	ifr.SetUint16(unix.IFF_UP)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, ifr)
}

// onCPU binds the calling thread, and all processes that it starts later, to
// one processor.
func onCPU(n int) error {
	var set unix.CPUSet
	set.Set(n)
	return unix.SchedSetaffinity(0, &set)
}
