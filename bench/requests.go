package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// serveNetHTTP serves what usher's /readyz answers, as one would write it with net/http.
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

// requests compares usher's endpoint with the same one on net/http, under wrk with 32 connections, kept and one per request: the server on
// one processor, wrk on another.
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
	const addr = "127.0.0.1:8086"
	servers := []peer{{"usher", []string{b.peers[0].argv[0], "--health-addr", addr, "--", "sleep", "1000"}}, {"net/http", []string{self, "-serve", addr}}}
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
	fmt.Printf("\n%-50s%16s%16s%20s\n", "/readyz, medians", "usher", "net/http", "usher to net/http")
	for _, row := range rows {
		for _, name := range []string{"requests per second", "99th percentile, µs", "server's processor time per request, µs"} {
			name += ", " + row.name
			u, n := b.values[name]["usher"], b.values[name]["net/http"]
			var ratios []float64
			for i := range u {
				ratios = append(ratios, u[i]/n[i])
			}
			fmt.Printf("%-50s%16.5g%16.5g%20.2f\n", name, quantile(u, 0.5), quantile(n, 0.5), quantile(ratios, 0.5))
		}
	}
	return nil
}

var wrkSays = regexp.MustCompile(`(?s)99%\s+([0-9.]+)(us|ms|s)\n.*?(\d+) requests in.*Requests/sec:\s+([0-9.]+)`)

// load is a second of it, on a server of its own.
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
	before := cpu(server.Process.Pid)
	out, err := exec.Command(wrk, append(args, "http://"+addr+"/readyz")...).CombinedOutput()
	used := cpu(server.Process.Pid) - before
	m := wrkSays.FindSubmatch(out)
	if err != nil || m == nil {
		return nil, fmt.Errorf("wrk: %v\n%s", err, out)
	}
	p99, _ := strconv.ParseFloat(string(m[1]), 64)
	n, _ := strconv.ParseFloat(string(m[3]), 64)
	rate, _ := strconv.ParseFloat(string(m[4]), 64)
	return map[string]float64{
		"requests per second":                     rate,
		"99th percentile, µs":                     p99 * map[string]float64{"us": 1, "ms": 1e3, "s": 1e6}[string(m[2])],
		"server's processor time per request, µs": used.Seconds() * 1e6 / n,
	}, nil
}

// onCPU binds the calling thread, and what it starts from there on, to one processor.
func onCPU(n int) error {
	var set unix.CPUSet
	set.Set(n)
	return unix.SchedSetaffinity(0, &set)
}
