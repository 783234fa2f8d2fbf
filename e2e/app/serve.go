package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
)

// serve answers requests until a signal ends it. SIGTERM does so at once, as it
// does to a server that has no handler: requests are cut. /set?ready=false and
// /set?live=false change what /ready and /live, and the gRPC health service,
// say; /crash ends it with 3.
func serve(args []string) error {
	flags := flag.NewFlagSet("serve", flag.ContinueOnError)
	addr := flags.String("addr", ":8080", "where HTTP is served")
	grpcAddr := flags.String("grpc", "", "where grpc.health.v1 is served")
	start := flags.Duration("start", 0, "how long the start takes")
	quit := flags.Bool("quit", false, "finish requests on SIGQUIT")
	ignore := flags.Bool("ignore", false, "ignore SIGTERM")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *ignore {
		signal.Ignore(syscall.SIGTERM)
	}
	time.Sleep(*start)

	ready, live, services := &atomic.Bool{}, &atomic.Bool{}, health.NewServer()
	ready.Store(true)
	live.Store(true)
	set := func(name string, is *atomic.Bool, value bool) {
		is.Store(value)
		status := grpc_health_v1.HealthCheckResponse_NOT_SERVING
		if value {
			status = grpc_health_v1.HealthCheckResponse_SERVING
		}
		services.SetServingStatus(name, status)
	}
	set("ready", ready, true)
	set("live", live, true)
	if *grpcAddr != "" {
		l, err := net.Listen("tcp", *grpcAddr)
		if err != nil {
			return err
		}
		s := grpc.NewServer()
		grpc_health_v1.RegisterHealthServer(s, services)
		go s.Serve(l)
	}

	mux := http.NewServeMux()
	answer := func(is *atomic.Bool) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			if !is.Load() {
				w.WriteHeader(http.StatusServiceUnavailable)
			}
		}
	}
	mux.HandleFunc("/ready", answer(ready))
	mux.HandleFunc("/live", answer(live))
	mux.HandleFunc("/set", func(w http.ResponseWriter, r *http.Request) {
		for name, is := range map[string]*atomic.Bool{"ready": ready, "live": live} {
			if value := r.FormValue(name); value != "" {
				set(name, is, value == "true")
			}
		}
	})
	mux.HandleFunc("/crash", func(http.ResponseWriter, *http.Request) { os.Exit(3) })
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { fmt.Fprintln(w, "hello") })
	server := &http.Server{Addr: *addr, Handler: mux}
	finished := make(chan error, 1)
	if *quit {
		quits := make(chan os.Signal, 1)
		signal.Notify(quits, syscall.SIGQUIT)
		go func() {
			<-quits
			finished <- server.Shutdown(context.Background())
		}()
	}
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return <-finished
}

// proxy passes connections on, and ends at once on SIGTERM.
func proxy(args []string) error {
	if len(args) != 2 {
		return fmt.Errorf("usage: app proxy LISTEN TARGET")
	}
	l, err := net.Listen("tcp", args[0])
	if err != nil {
		return err
	}
	for {
		client, err := l.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer client.Close()
			server, err := net.Dial("tcp", args[1])
			if err != nil {
				return
			}
			defer server.Close()
			go func() {
				io.Copy(server, client)
				server.(*net.TCPConn).CloseWrite()
			}()
			io.Copy(client, server)
		}()
	}
}
