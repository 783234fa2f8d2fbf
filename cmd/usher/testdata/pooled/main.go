// Pooled is a server that clients keep connections to: gRPC, or HTTP/1.1 and HTTP/2 on one port. With "finishes" it
// ends on SIGTERM as gRPC's and Go's documentation have it; with "cuts" it does nothing about signals.
package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"

	"usher/cmd/usher/testdata/pooled/serve"
)

func main() {
	protocol, onTerm, addr := os.Args[1], os.Args[2], os.Args[3]
	l, err := net.Listen("tcp", addr)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	run, stop := serve.New(protocol)
	if onTerm == "finishes" {
		ctx, done := signal.NotifyContext(context.Background(), syscall.SIGTERM)
		defer done()
		go run(l)
		<-ctx.Done()
		stop()
		return
	}
	if err := run(l); err != http.ErrServerClosed {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
