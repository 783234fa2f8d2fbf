// Grpc is a gRPC server that finishes its answers on SIGTERM. Its health
// service takes 2 s to answer for the service "slow".
package main

import (
	"context"
	"log"
	"net"
	"os/signal"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
)

func main() {
	stop, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer cancel()
	listener, err := net.Listen("tcp", "127.0.0.1:50051")
	if err != nil {
		log.Fatal(err)
	}
	server := grpc.NewServer(grpc.UnaryInterceptor(
		func(ctx context.Context, request any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
			if request.(*healthpb.HealthCheckRequest).Service == "slow" {
				time.Sleep(2 * time.Second)
			}
			return next(ctx, request)
		}))
	services := health.NewServer()
	services.SetServingStatus("slow", healthpb.HealthCheckResponse_SERVING)
	healthpb.RegisterHealthServer(server, services)
	go func() {
		<-stop.Done()
		server.GracefulStop()
	}()
	if err := server.Serve(listener); err != nil {
		log.Fatal(err)
	}
}
