package main

import (
	"bytes"
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// TestGRPC asks a real server, in the clear and over TLS.
func TestGRPC(t *testing.T) {
	for _, scheme := range []string{"grpc", "grpcs"} {
		t.Run(scheme, func(t *testing.T) {
			agents, tested := make(chan string, 100), make(chan struct{})
			defer close(tested)
			options := []grpc.ServerOption{grpc.UnaryInterceptor(func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
				md, _ := metadata.FromIncomingContext(ctx)
				agents <- strings.Join(md.Get("user-agent"), "|")
				if _, limited := ctx.Deadline(); !limited {
					return nil, status.Error(codes.Internal, "no deadline")
				}
				switch req.(*healthpb.HealthCheckRequest).Service {
				case "slow":
					<-tested // its own end of the time is not to be answered: whose comes first is chance
				case "denied":
					return nil, status.Error(codes.PermissionDenied, "no entry")
				}
				return next(ctx, req)
			})}
			if scheme == "grpcs" {
				options = append(options, grpc.Creds(credentials.NewTLS(loadCertificate(t))))
			}
			server := grpc.NewServer(options...)
			services := health.NewServer()
			healthpb.RegisterHealthServer(server, services)
			url := serveGRPC(t, server, scheme)
			want(t, "", url)
			want(t, "", url+"/")
			if agent := <-agents; agent != "usher/devel" {
				t.Errorf("user agent %q", agent)
			}
			want(t, `unknown service "app.v1.Store"`, url+"/app.v1.Store")
			services.SetServingStatus("app.v1.Store", healthpb.HealthCheckResponse_SERVING)
			want(t, "", url+"/app.v1.Store")
			services.SetServingStatus("app.v1.Store", healthpb.HealthCheckResponse_NOT_SERVING)
			want(t, "NOT_SERVING", url+"/app.v1.Store")
			want(t, "", url)
			services.Shutdown()
			want(t, "NOT_SERVING", url)
			want(t, "gRPC status 7: no entry", url+"/denied")
			want(t, "timeout after 300ms", "--timeout", "300ms", url+"/slow")

			bare := serveGRPC(t, grpc.NewServer(options[1:]...), scheme)
			want(t, "the server does not implement grpc.health.v1.Health", bare)
		})
	}
	plain := httptest.NewServer(http.NotFoundHandler())
	defer plain.Close()
	if code, out, _ := checked(t, "grpc://"+plain.Listener.Addr().String()); code != 1 || out == "" {
		t.Errorf("a server of HTTP/1.1: %d %q", code, out)
	}
	two := httptest.NewUnstartedServer(http.NotFoundHandler())
	two.Config.Protocols = new(http.Protocols)
	two.Config.Protocols.SetUnencryptedHTTP2(true)
	two.Start()
	defer two.Close()
	want(t, "no gRPC: HTTP 404 Not Found", "grpc://"+two.Listener.Addr().String())
	want(t, "connection refused", "grpc://127.0.0.1:1")
}

func serveGRPC(t *testing.T, server *grpc.Server, scheme string) (url string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go server.Serve(l)
	t.Cleanup(server.Stop)
	return scheme + "://" + l.Addr().String()
}

// The handwritten messages equal those of the real library.
func TestMessages(t *testing.T) {
	for _, service := range []string{"", "a", strings.Repeat("x", 300)} {
		real, err := proto.Marshal(&healthpb.HealthCheckRequest{Service: service})
		if err != nil {
			t.Fatal(err)
		}
		if got := stringField(service); !bytes.Equal(got, real) {
			t.Errorf("%q: %x, want %x", service, got, real)
		}
	}
	for want := range healthpb.HealthCheckResponse_ServingStatus_name {
		real, err := proto.Marshal(&healthpb.HealthCheckResponse{Status: healthpb.HealthCheckResponse_ServingStatus(want)})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := parseResponse(frame(real)); err != nil || got != uint64(want) || servingStatus[want] != healthpb.HealthCheckResponse_ServingStatus(want).String() {
			t.Errorf("%d: %d, %v", want, got, err)
		}
	}
}

// FuzzResponse: a message that the real library accepts means the same here,
// and no message makes the parser panic.
func FuzzResponse(f *testing.F) {
	f.Add([]byte{8, 1})
	f.Add([]byte{8, 1, 8, 2, 18, 1, 'x', 0x1d, 1, 2, 3, 4, 0x21, 1, 2, 3, 4, 5, 6, 7, 8})
	f.Add([]byte{0x0b, 0x0c})
	f.Fuzz(func(t *testing.T, message []byte) {
		got, err := parseResponse(frame(message))
		var real healthpb.HealthCheckResponse
		if realErr := proto.Unmarshal(message, &real); err == nil && realErr == nil && int32(got) != int32(real.Status) {
			t.Errorf("%x: %d, the real library has %v", message, got, real.Status)
		}
		parseResponse(message)
	})
}
