package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"syscall"

	"usher/healthz/check"
)

const (
	maxRedirects = 10       // net/http's, and so kubelet's
	maxBody      = 10 << 10 // bytes read of it (kubelet: pkg/probe/http/http.go)
)

// tlsConfig trusts everybody, as kubelet does, unless it is asked not to: a probe goes to an address, which certificates seldom name.
func tlsConfig(o options) (*tls.Config, error) {
	config := &tls.Config{InsecureSkipVerify: !o.verify && o.ca == ""}
	if o.ca != "" {
		pem, err := os.ReadFile(o.ca)
		if err != nil {
			return nil, fmt.Errorf("cannot read the authorities: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("no certificate in %q", o.ca)
		}
	}
	return config, nil
}

// transport is kubelet's: no proxy, a connection for each request. A server without HTTP/1.1 is spoken to in HTTP/2 over TLS.
func transport(config *tls.Config) *http.Transport {
	return &http.Transport{DialContext: dial, TLSClientConfig: config, DisableKeepAlives: true, DisableCompression: true, ForceAttemptHTTP2: true}
}

// dial takes localhost for the loopback addresses, as usher does: an image from scratch has no /etc/hosts.
func dial(ctx context.Context, network, addr string) (net.Conn, error) {
	var d net.Dialer
	host, port, err := net.SplitHostPort(addr)
	if err != nil || host != "localhost" {
		return d.DialContext(ctx, network, addr)
	}
	conn, err := d.DialContext(ctx, network, net.JoinHostPort("127.0.0.1", port))
	if err == nil || ctx.Err() != nil {
		return conn, err
	}
	if conn, err6 := d.DialContext(ctx, network, net.JoinHostPort("::1", port)); err6 == nil {
		return conn, nil
	}
	return nil, err
}

// get is kubelet's HTTP probe: 200 to 399 holds; redirects are followed on the same host, and one to another host is where it ends.
func get(ctx context.Context, c *check.Check, headers []check.Header, config *tls.Config) (warning string, err error) {
	req, err := http.NewRequestWithContext(ctx, "GET", c.URL(), nil)
	if err != nil {
		return "", err
	}
	req.Header.Set("User-Agent", "usher/"+version)
	req.Header.Set("Accept", "*/*")
	for _, h := range headers {
		name := http.CanonicalHeaderKey(h.Name)
		switch {
		case name == "Host":
			req.Host = h.Value
		case name == "User-Agent", name == "Accept":
			req.Header.Set(name, h.Value)
		default:
			req.Header.Add(name, h.Value)
		}
	}
	client := &http.Client{Transport: transport(config), CheckRedirect: func(to *http.Request, via []*http.Request) error {
		switch {
		case to.URL.Hostname() != via[0].URL.Hostname():
			return http.ErrUseLastResponse
		case len(via) >= maxRedirects:
			return fmt.Errorf("more than %d redirects", maxRedirects)
		}
		return nil
	}}
	res, err := client.Do(req)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	if _, err := io.CopyN(io.Discard, res.Body, maxBody); err != nil && err != io.EOF {
		return "", err
	}
	switch {
	case res.StatusCode < 200 || res.StatusCode >= 400:
		return "", fmt.Errorf("HTTP %s", res.Status)
	case res.StatusCode >= 300:
		return fmt.Sprintf("HTTP %s: not followed to %q", res.Status, res.Header.Get("Location")), nil
	}
	return "", nil
}

// plain strips an error to what an operator needs: not what was asked, which is known.
func plain(err error) error {
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		err = wrapped.Err
	}
	var errno syscall.Errno
	var dns *net.DNSError
	switch {
	case err == nil, os.IsTimeout(err):
	case errors.As(err, &errno):
		return errno
	case errors.As(err, &dns) && dns.IsNotFound:
		return fmt.Errorf("no such host %q", dns.Name)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New("connection closed without a response")
	}
	return err
}
