package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestHTTPAsKubelet has the cases of pkg/probe/http/http_test.go, over http,
// and over https with a self-signed certificate.
func TestHTTPAsKubelet(t *testing.T) {
	elsewhere := httptest.NewServer(http.NotFoundHandler())
	defer elsewhere.Close()
	_, port, _ := net.SplitHostPort(elsewhere.Listener.Addr().String())
	other := "http://localhost:" + port + "/" // by another name than 127.0.0.1
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var n int
		switch {
		case r.URL.Path == "/ok":
			io.WriteString(w, "ok")
		case r.URL.Path == "/other":
			http.Redirect(w, r, other, http.StatusFound)
		case r.URL.Path == "/loop":
			http.Redirect(w, r, "/loop", http.StatusFound)
		case r.URL.Path == "/slow":
			time.Sleep(time.Minute)
		case r.URL.Path == "/endless":
			for r.Context().Err() == nil {
				io.WriteString(w, strings.Repeat("x", 1000))
			}
		case r.URL.Path == "/headers":
			if r.Host != "app.example" || r.Header.Get("X-Key") != "a: b" || r.UserAgent() != "me" || r.Header.Get("Accept") != "*/*" || !r.Close && r.ProtoMajor == 1 {
				w.WriteHeader(400)
			}
		case r.URL.Path == "/agent":
			if r.UserAgent() != "usher/devel" || r.Header.Get("Accept-Encoding") != "" {
				w.WriteHeader(400)
			}
		default:
			if _, err := fmt.Sscanf(r.URL.Path, "/hops/%d", &n); err == nil {
				if n > 0 {
					http.Redirect(w, r, fmt.Sprintf("/hops/%d", n-1), http.StatusFound)
				}
			} else if _, err := fmt.Sscanf(r.URL.Path, "/status/%d", &n); err == nil {
				w.WriteHeader(n)
			}
		}
	})
	for _, kind := range []struct {
		name  string
		start func(http.Handler) *httptest.Server
	}{{"http", httptest.NewServer}, {"https", httptest.NewTLSServer}} {
		t.Run(kind.name, func(t *testing.T) {
			s := kind.start(handler)
			s.Config.ErrorLog = nil
			defer s.CloseClientConnections()
			want(t, "", s.URL+"/ok")
			want(t, "", s.URL+"/status/204")
			want(t, "", s.URL+"/agent")
			want(t, "HTTP 503 Service Unavailable", s.URL+"/status/503")
			want(t, "HTTP 400 Bad Request", s.URL+"/status/400")
			want(t, "", s.URL+"/hops/9")
			want(t, "more than 10 redirects", s.URL+"/loop")
			want(t, `warning: HTTP 302 Found: not followed to "`+other+`"`, s.URL+"/other")
			want(t, "warning: HTTP 304 Not Modified: not followed to \"\"", s.URL+"/status/304")
			want(t, "", s.URL+"/endless")
			want(t, "", "--check-header", "Host: app.example", "--check-header", "X-Key: a: b", "--check-header", "User-Agent: me", s.URL+"/headers")
			want(t, "timeout after 300ms", "--timeout", "300ms", s.URL+"/slow")
		})
	}
	s := httptest.NewUnstartedServer(handler)
	s.EnableHTTP2 = true
	s.StartTLS()
	defer s.Close()
	want(t, "", s.URL+"/ok")
	want(t, "connection refused", "https://127.0.0.1:1")
	want(t, "http: server gave HTTP response to HTTPS client", "https://"+strings.TrimPrefix(elsewhere.URL, "http://"))
}

// certificate makes a self-signed certificate for 127.0.0.1.
func certificate(t *testing.T) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for path, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: raw}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}

// TestNginx: a real server with a self-signed certificate, which usher-check
// verifies only if a flag asks for it.
func TestNginx(t *testing.T) {
	nginx, err := exec.LookPath("nginx")
	if err != nil {
		t.Skip("needs nginx")
	}
	cert, key := certificate(t)
	port, dir := freePort(t), t.TempDir()
	config := `daemon off; master_process off; pid nginx.pid; error_log stderr warn;
events { worker_connections 50; }
http {
	access_log off; client_body_temp_path b; proxy_temp_path p; fastcgi_temp_path f; uwsgi_temp_path u; scgi_temp_path s;
	server {
		listen 127.0.0.1:` + port + ` ssl; ssl_certificate ` + cert + `; ssl_certificate_key ` + key + `;
		location = /ok { return 200 "ok"; }
		location = /moved { return 301 /ok; }
		location = /down { return 503; }
	}
}`
	if err := os.WriteFile(filepath.Join(dir, "nginx.conf"), []byte(config), 0o644); err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	cmd := exec.Command(nginx, "-p", dir, "-c", "nginx.conf")
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		cmd.Process.Kill()
		cmd.Wait()
		if log.Len() > 0 {
			t.Logf("nginx: %s", &log)
		}
	}()
	url := "https://127.0.0.1:" + port
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if code, _, _ := checked(t, url+"/ok"); code == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("nginx does not answer: %s", &log)
		}
	}
	want(t, "", url+"/moved")
	want(t, "", "https://localhost:"+port+"/ok")
	want(t, "HTTP 503 Service Temporarily Unavailable", url+"/down")
	want(t, "tls: failed to verify certificate: x509: certificate signed by unknown authority", "--verify", url+"/ok")
	want(t, "", "--ca", cert, url+"/ok")
	want(t, "tls: failed to verify certificate: x509: certificate is not valid for any names, but wanted to match localhost", "--ca", cert, "https://localhost:"+port+"/ok")
	want(t, "no certificate in "+fmt.Sprintf("%q", key), "--ca", key, url+"/ok")
	want(t, "HTTP 400 Bad Request", "http://127.0.0.1:"+port+"/ok") // nginx: plain HTTP sent to HTTPS port
}

// loadCertificate is for servers in this process.
func loadCertificate(t *testing.T) *tls.Config {
	t.Helper()
	pair, err := tls.LoadX509KeyPair(certificate(t))
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{pair}}
}
