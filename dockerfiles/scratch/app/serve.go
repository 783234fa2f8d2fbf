package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// serve answers on :8080 until it is told to stop. onTerm says what TERM does:
// the app dies of it at once, as most programs do, drains its requests, or
// ignores it.
func serve(onTerm string) (code int, err error) {
	signals := make(chan os.Signal, 100)
	signal.Notify(signals) // all of them, to be printed
	switch onTerm {
	case "die":
		signal.Reset(syscall.SIGTERM)
	case "drain", "ignore":
	default:
		return 0, errUsage
	}

	server := &http.Server{Addr: ":8080", Handler: handler()}
	failed := make(chan error, 1)
	go func() { failed <- server.ListenAndServe() }()
	for {
		select {
		case err := <-failed:
			return 0, err
		case s := <-signals:
			switch s {
			case syscall.SIGURG, syscall.SIGCHLD: // the Go runtime's own, and this program's
				continue
			}
			fmt.Printf("got signal %d\n", s.(syscall.Signal))
			if s == syscall.SIGTERM && onTerm == "drain" {
				return 0, server.Shutdown(context.Background())
			}
		}
	}
}

func handler() http.Handler {
	var notReady atomic.Bool
	var bell bell
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "hello") })
	mux.HandleFunc("GET /ready", func(w http.ResponseWriter, _ *http.Request) {
		if notReady.Load() {
			http.Error(w, "not ready", http.StatusServiceUnavailable)
		}
	})
	mux.HandleFunc("PUT /ready", func(http.ResponseWriter, *http.Request) { notReady.Store(false) })
	mux.HandleFunc("DELETE /ready", func(http.ResponseWriter, *http.Request) { notReady.Store(true) })
	mux.HandleFunc("GET /slow", func(w http.ResponseWriter, r *http.Request) {
		d, err := time.ParseDuration(r.FormValue("for"))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		w.(http.Flusher).Flush() // the client sees that it is being answered
		time.Sleep(d)
		fmt.Fprintln(w, "hello at last")
	})
	mux.HandleFunc("POST /orphans", func(w http.ResponseWriter, r *http.Request) {
		out, err := exec.Command("/proc/self/exe", "orphans", r.FormValue("n")).CombinedOutput()
		if err != nil {
			http.Error(w, fmt.Sprintf("%v\n%s", err, out), http.StatusInternalServerError)
		}
	})
	mux.HandleFunc("GET /bell", func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-bell.wait():
		case <-r.Context().Done():
		}
	})
	mux.HandleFunc("POST /bell", func(http.ResponseWriter, *http.Request) { bell.ring() })
	return mux
}

// A bell wakes all who wait for it, and then is silent again.
type bell struct {
	mu   sync.Mutex
	rung chan struct{}
}

func (b *bell) wait() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.rung == nil {
		b.rung = make(chan struct{})
	}
	return b.rung
}

func (b *bell) ring() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.rung != nil {
		close(b.rung)
		b.rung = nil
	}
}
