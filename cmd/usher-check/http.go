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
	"net/netip"
	"net/url"
	"os"
	"syscall"
	"time"

	"usher/healthz/check"
	"usher/healthz/check/resolve"
)

const (
	maxRedirects = 10       // the limit of net/http, and so of kubelet
	maxBody      = 10 << 10 // bytes read of the body (kubelet: pkg/probe/http/http.go)
)

// tlsConfig trusts every server, as kubelet does, unless a flag asks for
// verification: a probe goes to an address, which certificates seldom name.
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

// transport works like kubelet's: no proxy, and a connection for each request.
// Over TLS, a server may choose HTTP/2.
func transport(config *tls.Config) *http.Transport {
	return &http.Transport{
		DialContext:        dial,
		TLSClientConfig:    config,
		DisableKeepAlives:  true,
		DisableCompression: true,
		ForceAttemptHTTP2:  true,
	}
}

// dial connects as usher does. It tries all addresses of a name, each within
// its share of the time that is left. Package net would wait for an answer
// about IPv6 that some name servers never give. It would also take localhost
// from /etc/hosts, which an image from scratch does not have.
func dial(ctx context.Context, network, addr string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	addrs := []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()}
	if host != "localhost" {
		if addrs, err = resolve.Lookup(ctx, nil, host); err != nil {
			return nil, err
		}
	}
	for i, addr := range addrs {
		conn, dialErr := dialOne(ctx, network, net.JoinHostPort(addr.String(), port), len(addrs)-i)
		if dialErr == nil {
			return conn, nil
		}
		if err == nil || os.IsTimeout(err) {
			err = dialErr // the first error, or the first one that is no timeout
		}
		if ctx.Err() != nil {
			break
		}
	}
	return nil, err
}

// dialOne connects to one address. Its time is what is left of ctx, divided by
// shares.
func dialOne(ctx context.Context, network, addr string, shares int) (net.Conn, error) {
	if deadline, limited := ctx.Deadline(); limited {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Until(deadline)/time.Duration(shares))
		defer cancel()
	}
	return new(net.Dialer).DialContext(ctx, network, addr)
}

// get is kubelet's HTTP probe. A status from 200 to 399 holds. Redirects on the
// same host are followed; a redirect to another host holds, with a warning.
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
	follow := func(to *http.Request, via []*http.Request) error {
		switch {
		case to.URL.Hostname() != via[0].URL.Hostname():
			return http.ErrUseLastResponse
		case len(via) >= maxRedirects:
			return fmt.Errorf("more than %d redirects", maxRedirects)
		}
		return nil
	}
	client := &http.Client{Transport: transport(config), CheckRedirect: follow}
	res, err := client.Do(req)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	if _, err := io.CopyN(io.Discard, res.Body, maxBody); err != nil && !errors.Is(err, io.EOF) {
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

// plain reduces an error to what an operator needs, without the request, which
// is known.
func plain(err error) error {
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		err = wrapped.Err
	}
	var errno syscall.Errno
	switch {
	case err == nil, os.IsTimeout(err):
	case errors.As(err, &errno):
		return errno
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New("connection closed without a response")
	}
	return err
}
