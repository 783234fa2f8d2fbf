// Package serve answers over gRPC, HTTP/1.1 or HTTP/2 for a test, in Busy each time.
package serve

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"time"

	"google.golang.org/grpc"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
)

// Busy is how long an answer takes.
const Busy = 20 * time.Millisecond

type health struct {
	healthpb.UnimplementedHealthServer
}

func (health) Check(context.Context, *healthpb.HealthCheckRequest) (*healthpb.HealthCheckResponse, error) {
	time.Sleep(Busy)
	return &healthpb.HealthCheckResponse{Status: healthpb.HealthCheckResponse_SERVING}, nil
}

// New returns what serves, and what has it finish its answers and end.
func New(protocol string) (run func(net.Listener) error, stop func()) {
	if protocol == "grpc" {
		s := grpc.NewServer()
		healthpb.RegisterHealthServer(s, health{})
		return s.Serve, s.GracefulStop
	}
	s := &http.Server{Protocols: &http.Protocols{}, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(Busy)
		fmt.Fprintln(w, "ok")
	})}
	s.Protocols.SetHTTP1(true)
	s.Protocols.SetUnencryptedHTTP2(true)
	return s.Serve, func() { s.Shutdown(context.Background()) }
}
