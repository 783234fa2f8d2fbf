package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"usher/healthz/check"
)

// grpc.health.v1 without a library: one request, one response, one field in
// each (github.com/grpc/grpc-proto, grpc/health/v1/health.proto). The protocol
// is gRPC over HTTP/2 (github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md).
const healthCheck = "/grpc.health.v1.Health/Check"

// maxMessage limits the response, in bytes. A usual one has two bytes.
const maxMessage = 4096

// The gRPC codes that say something about the service (doc/statuscodes.md).
const (
	codeOK               = "0"
	codeDeadlineExceeded = "4"
	codeNotFound         = "5"
	codeUnimplemented    = "12"
)

// almost is the time before a deadline in which a failed request counts as
// timed out.
const almost = 20 * time.Millisecond

// servingStatus has the names of HealthCheckResponse.ServingStatus.
var servingStatus = []string{"UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"}

// serving asks whether a service is serving, as kubelet does
// (pkg/probe/grpc/grpc.go). c names the service; "" stands for the whole
// server.
func serving(ctx context.Context, c *check.Check, secure bool, config *tls.Config) error {
	t := transport(config)
	t.Protocols = new(http.Protocols)
	scheme := "http"
	if secure {
		scheme = "https"
		t.Protocols.SetHTTP2(true)
	} else {
		t.Protocols.SetUnencryptedHTTP2(true)
	}
	address, service := c.Service()
	body := bytes.NewReader(frame(stringField(service)))
	req, err := http.NewRequestWithContext(ctx, "POST", scheme+"://"+address+healthCheck, body)
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/grpc")
	req.Header.Set("TE", "trailers")
	req.Header.Set("User-Agent", "usher/"+version)
	if deadline, limited := ctx.Deadline(); limited {
		req.Header.Set("Grpc-Timeout", strconv.FormatInt(max(time.Until(deadline).Milliseconds(), 1), 10)+"m")
	}
	res, err := t.RoundTrip(req)
	if err != nil {
		if deadline, limited := ctx.Deadline(); limited && time.Until(deadline) < almost {
			err = context.DeadlineExceeded // the server knows the deadline, and has given up a moment before it
		}
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != 200 {
		return fmt.Errorf("no gRPC: HTTP %s", res.Status)
	}
	message, err := io.ReadAll(io.LimitReader(res.Body, maxMessage))
	if err != nil {
		return err
	}
	code, reason := res.Trailer.Get("Grpc-Status"), res.Trailer.Get("Grpc-Message")
	if code == "" { // the response consists of trailers only
		code, reason = res.Header.Get("Grpc-Status"), res.Header.Get("Grpc-Message")
	}
	switch code {
	case codeOK:
	case "":
		return errors.New("no gRPC: the response has no grpc-status")
	case codeUnimplemented:
		return errors.New("the server does not implement grpc.health.v1.Health")
	case codeNotFound:
		return fmt.Errorf("unknown service %q", service)
	case codeDeadlineExceeded:
		return context.DeadlineExceeded
	default:
		return fmt.Errorf("gRPC status %s: %s", code, reason)
	}
	status, err := parseResponse(message)
	if err != nil {
		return err
	}
	if status != 1 {
		name := strconv.FormatUint(status, 10)
		if status < uint64(len(servingStatus)) {
			name = servingStatus[status]
		}
		return errors.New(name)
	}
	return nil
}

// frame returns an uncompressed message with its length before it.
func frame(message []byte) []byte {
	b := binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message)))
	return append(b, message...)
}

// stringField returns HealthCheckRequest{service: s}: field 1 of wire type 2. A
// default value is not sent.
func stringField(s string) []byte {
	if s == "" {
		return nil
	}
	return append(binary.AppendUvarint([]byte{1<<3 | 2}, uint64(len(s))), s...)
}

var errMessage = errors.New("no gRPC: malformed response")

// parseResponse returns HealthCheckResponse.status, field 1 of wire type 0. It
// skips unknown fields. Of several fields with one number the last one counts,
// and a missing field is 0 (protobuf.dev/programming-guides/encoding).
func parseResponse(b []byte) (status uint64, err error) {
	if len(b) < 5 || b[0] != 0 || int64(binary.BigEndian.Uint32(b[1:])) != int64(len(b)-5) {
		return 0, errMessage
	}
	for b = b[5:]; len(b) > 0; {
		tag, n := binary.Uvarint(b)
		if n <= 0 || tag>>3 == 0 {
			return 0, errMessage
		}
		b = b[n:]
		skip := 0
		switch tag & 7 {
		case 0:
			var v uint64
			if v, skip = binary.Uvarint(b); skip <= 0 {
				return 0, errMessage
			}
			if tag>>3 == 1 {
				status = v
			}
		case 1:
			skip = 8
		case 2:
			length, n := binary.Uvarint(b)
			if n <= 0 || length > uint64(len(b)) {
				return 0, errMessage
			}
			skip = n + int(length)
		case 5:
			skip = 4
		default:
			return 0, errMessage
		}
		if skip > len(b) {
			return 0, errMessage
		}
		b = b[skip:]
	}
	return status, nil
}
