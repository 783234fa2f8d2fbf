package healthz

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
)

// BenchmarkServer compares the server with net/http: one request at a time on
// kept connections, one request per connection, and pipelined requests. The
// client is the same and cheap, but its system calls are in the figures.
func BenchmarkServer(b *testing.B) {
	servers := []struct {
		name  string
		start func(b *testing.B) (addr string)
	}{
		{"usher", func(b *testing.B) string { addr, _ := start(b, nil); return addr }},
		{"net-http", startNetHTTP},
	}
	b.Run("kept", func(b *testing.B) {
		for _, s := range servers {
			b.Run(s.name, func(b *testing.B) {
				addr := s.start(b)
				b.ReportAllocs()
				b.SetParallelism(8)
				b.RunParallel(func(pb *testing.PB) {
					c, r := dialBench(b, addr)
					defer c.Close()
					for pb.Next() {
						if _, err := io.WriteString(c, get); err != nil {
							b.Error(err)
							return
						}
						skip(b, r, 1)
					}
				})
			})
		}
	})
	b.Run("single", func(b *testing.B) {
		for _, s := range servers {
			b.Run(s.name, func(b *testing.B) {
				addr := s.start(b)
				b.ReportAllocs()
				for range b.N {
					c, r := dialBench(b, addr)
					io.WriteString(c, "GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
					skip(b, r, 1)
					c.Close()
				}
			})
		}
	})
	b.Run("pipelined", func(b *testing.B) {
		const depth = 16
		for _, s := range servers {
			b.Run(s.name, func(b *testing.B) {
				c, r := dialBench(b, s.start(b))
				defer c.Close()
				b.ReportAllocs()
				batch := strings.Repeat(get, depth)
				for n := b.N; n > 0; n -= depth {
					k := min(n, depth)
					if _, err := io.WriteString(c, batch[:k*len(get)]); err != nil {
						b.Fatal(err)
					}
					skip(b, r, k)
				}
			})
		}
	})
}

func dialBench(b *testing.B, addr string) (net.Conn, *bufio.Reader) {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		b.Fatal(err)
	}
	return c, bufio.NewReader(c)
}

// skip reads n responses with the body "ok".
func skip(b *testing.B, r *bufio.Reader, n int) {
	for range n {
		for {
			line, err := r.ReadSlice('\n')
			if err != nil {
				b.Error(err)
				return
			}
			if len(line) == 2 {
				break
			}
		}
		if body, err := r.Peek(2); err != nil || string(body) != "ok" {
			b.Errorf("body %q, %v", body, err)
		}
		r.Discard(2)
	}
}

// startNetHTTP serves the same answer to /livez with net/http.
func startNetHTTP(b *testing.B) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/livez", func(w http.ResponseWriter, _ *http.Request) {
		h := w.Header()
		h.Set("Content-Type", "text/plain; charset=utf-8")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Cache-Control", "no-store")
		io.WriteString(w, "ok")
	})
	s := &http.Server{Handler: mux}
	go s.Serve(l)
	b.Cleanup(func() { s.Close() })
	return l.Addr().String()
}
