package main_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"usher/cmd/usher/testdata/pooled/serve"
)

// Clients that keep their connections, as they do through a Service: where a new connection goes, endpoints decide, and an old one stays where it
// is until one of its ends closes it.

// protocols are those that keep connections. Each of a client's workers calls ask, one call after the other.
var protocols = []struct {
	name, server string
	client       func(s *service, method string, workers int) (ask func() error, close func())
}{
	{"gRPC", "grpc", func(s *service, _ string, _ int) (func() error, func()) {
		c, err := grpc.NewClient("passthrough:///service", grpc.WithTransportCredentials(insecure.NewCredentials()),
			grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return s.dial(ctx, "", "") }))
		if err != nil {
			return func() error { return err }, func() {}
		}
		return func() error {
			ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
			defer cancel()
			_, err := healthpb.NewHealthClient(c).Check(ctx, &healthpb.HealthCheckRequest{})
			return err
		}, func() { c.Close() }
	}},
	{"HTTP2", "http", func(s *service, method string, _ int) (func() error, func()) {
		t := &http.Transport{DialContext: s.dial, Protocols: &http.Protocols{}}
		t.Protocols.SetUnencryptedHTTP2(true)
		return s.pool(t, method)
	}},
	{"HTTP1", "http", func(s *service, method string, workers int) (func() error, func()) {
		return s.pool(&http.Transport{DialContext: s.dial, MaxIdleConnsPerHost: workers, MaxConnsPerHost: workers}, method)
	}},
}

// service is a Service of Kubernetes in front of two pods: the one behind usher, and another one, which usher can't see.
type service struct {
	other string      // the other one's socket
	moved atomic.Bool // new connections go there
	dials atomic.Int32
}

func (s *service) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	if s.moved.Load() {
		return (&net.Dialer{}).DialContext(ctx, "unix", s.other)
	}
	s.dials.Add(1)
	return (&net.Dialer{}).DialContext(ctx, "tcp", quietAddr)
}

func (s *service) pool(t *http.Transport, method string) (ask func() error, close func()) {
	c := &http.Client{Transport: t, Timeout: 20 * time.Second}
	return func() error {
		req, err := http.NewRequest(method, "http://"+quietAddr, nil)
		if err != nil {
			return err
		}
		res, err := c.Do(req)
		if err != nil {
			return err
		}
		defer res.Body.Close()
		_, err = io.Copy(io.Discard, res.Body)
		return err
	}, t.CloseIdleConnections
}

func TestKeptConnections(t *testing.T) {
	const (
		workers = 4                      // that keep their connections
		late    = 500 * time.Millisecond // after SIGTERM, new connections go elsewhere
	)
	for _, tt := range []struct {
		app, mode string
		// method is GET where Go's client may send again what a server has not begun to answer: Shutdown closes a connection between two requests.
		method string
		letGo  time.Duration // after SIGTERM, the workers send nothing any more, as a load balancer; 0 is that they do until the end
		early  bool          // the hold does not take its full time
		fails  bool
	}{
		{app: "finishes", mode: "traffic", method: "GET"},
		{app: "finishes", mode: "new-connections", method: "GET", early: true},
		{app: "cuts", mode: "traffic", method: "POST", letGo: 2500 * time.Millisecond, early: true},
		{app: "cuts", mode: "new-connections", method: "POST", early: true, fails: true}, // why that is not the default
	} {
		for _, p := range protocols {
			t.Run(p.name+" "+tt.app+" "+tt.mode, func(t *testing.T) {
				server := helper(t, "pooled")
				if !ownNetwork(t) {
					return
				}
				s := &service{other: filepath.Join(t.TempDir(), "other")}
				l, err := net.Listen("unix", s.other)
				if err != nil {
					t.Fatal(err)
				}
				run, stop := serve.New(p.server)
				go run(l)
				defer stop()

				u := start(t, &made, "--term-delay", "6s", "--quiet-period", "1s", "--quiet-mode", tt.mode, "--", server, p.server, tt.app, quietAddr)
				ask, closeAll := p.client(s, tt.method, workers)
				defer closeAll()
				eventually(t, ask)

				var ok, failed atomic.Int32
				var first error
				var once sync.Once
				count := func(err error) {
					if err == nil {
						ok.Add(1)
						return
					}
					failed.Add(1)
					once.Do(func() { first = err })
				}
				var old, fresh atomic.Bool // are told to end
				var wg sync.WaitGroup
				for range workers {
					wg.Go(func() {
						for !old.Load() {
							count(ask())
						}
					})
				}
				wg.Go(func() { // a new connection each time
					for !fresh.Load() {
						ask, closeIt := p.client(s, tt.method, 1)
						count(ask())
						closeIt()
					}
				})
				time.Sleep(300 * time.Millisecond) // of load
				t0 := time.Now()
				u.signal(unix.SIGTERM)
				time.Sleep(late)
				s.moved.Store(true)
				if tt.letGo > 0 {
					time.Sleep(time.Until(t0.Add(tt.letGo)))
					old.Store(true)
				}
				u.wait()
				held := time.Since(t0)
				old.Store(true)
				fresh.Store(true)
				wg.Wait()
				t.Logf("%s, the app %s, %s: gone after %.1fs, %d answered, %d failed; %d connections", p.name, tt.app, tt.mode, held.Seconds(), ok.Load(), failed.Load(), s.dials.Load())
				if (failed.Load() > 0) != tt.fails {
					t.Errorf("%d failed: %v\n%s", failed.Load(), first, &u.stderr)
				}
				switch {
				case !tt.early:
					u.logged("SIGTERM sent to the app after 6")
				case tt.mode == "traffic":
					u.logged("held back until traffic has been quiet for 1s, at most 6s")
					u.logged("traffic has been quiet for 1s, after ")
				default:
					u.logged("held back until traffic has been without a new connection for 1s, at most 6s")
					u.logged("traffic has been without a new connection for 1s, after ")
				}
				if least := max(late, tt.letGo) + 900*time.Millisecond; held < least {
					t.Errorf("held for %v, want %v\n%s", held, least, &u.stderr)
				}
			})
		}
	}
}
