package check

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"usher/healthz/socket"
)

// Version is the version of usher in the User-Agent of HTTP checks:
// "usher/VERSION". Set it before the first check is run.
var Version = "dev"

const (
	maxResponseHead = 64 << 10 // bytes of header lines of one response, with those of interim responses
	maxResponseLine = 4096     // bytes kept of one line; the rest of a longer line is skipped
	maxResponseBody = 10 << 10 // bytes of body read: kubelet's limit
	maxInterim      = 8        // 1xx responses before the final one

	// drainTime limits the time for reading a body whose content does not matter.
	drainTime = 100 * time.Millisecond
)

// get sends the request over a connection that the end of ctx interrupts. A
// status from 200 to 399 is success. Redirects are not followed.
func (c *Check) get(ctx context.Context, conn *socket.Conn) error {
	// An error in writing shows in reading as well. If the server has answered
	// without reading the request, its answer counts.
	io.WriteString(conn, c.request())
	r := bufio.NewReaderSize(conn, maxResponseLine)
	res, err := readResponse(r)
	if err != nil {
		return err
	}
	if c.own && res.status == 503 {
		return failedLines(r)
	}
	// Closing a connection with unread bytes resets it, and servers log that as an
	// error.
	if body := res.length; body != 0 && body <= maxResponseBody {
		if body < 0 {
			body = maxResponseBody // it ends with the connection, as the request asked for
		}
		enough := time.Now().Add(drainTime)
		if deadline, limited := ctx.Deadline(); limited && deadline.Before(enough) {
			enough = deadline
		}
		conn.SetReadDeadline(enough)
		r.Discard(int(body)) // the result of the check is known already
	}
	if res.status >= 200 && res.status < 400 {
		return nil
	}
	if res.reason == "" {
		return fmt.Errorf("HTTP %d", res.status)
	}
	return fmt.Errorf("HTTP %d %s", res.status, res.reason)
}

// failedLines returns the failures that usher's own endpoint lists, in one
// line.
func failedLines(r *bufio.Reader) error {
	budget, all := maxResponseBody, ""
	for {
		line, err := readLine(r, &budget)
		if err != nil {
			return errors.New(strings.TrimSuffix(all, "; "))
		}
		if failed, ok := bytes.CutPrefix(line, []byte("[-]")); ok {
			all += string(failed) + "; "
		}
	}
}

// response holds what a check needs of a response's head.
type response struct {
	status int    // 100 to 999
	reason string // printable ASCII; may be empty
	length int64  // of the body, in bytes; -1 if it ends with the connection
}

// readResponse reads the head of the first response that is not an interim one
// (RFC 9110 15.2). 101 counts as final, because the request asked for no
// upgrade.
func readResponse(r *bufio.Reader) (response, error) {
	budget := maxResponseHead
	for range maxInterim {
		res, err := readHead(r, &budget)
		if err != nil || res.status >= 200 || res.status == 101 {
			return res, err
		}
	}
	return response{}, errors.New("malformed HTTP response: too many interim responses")
}

func readHead(r *bufio.Reader, budget *int) (response, error) {
	line, err := readLine(r, budget)
	if err != nil {
		return response{}, err
	}
	res, ok := parseStatusLine(line)
	if !ok {
		return res, fmt.Errorf("malformed HTTP response: %q", line[:min(len(line), 40)])
	}
	for {
		line, err := readLine(r, budget)
		if err != nil {
			return res, err
		}
		if len(line) == 0 {
			break
		}
		name, value, ok := bytes.Cut(line, []byte{':'})
		if !ok && line[0] != ' ' && line[0] != '\t' {
			return res, fmt.Errorf("malformed HTTP header: %q", line[:min(len(line), 40)])
		}
		if strings.EqualFold(string(name), "content-length") {
			n, err := strconv.ParseUint(strings.TrimSpace(string(value)), 10, 62)
			if err != nil {
				return res, fmt.Errorf("malformed Content-Length: %q", value[:min(len(value), 40)])
			}
			res.length = int64(n)
		}
	}
	if res.status < 200 || res.status == 204 || res.status == 304 {
		res.length = 0
	}
	return res, nil
}

// parseStatusLine reads "HTTP/1.1 503 Service Unavailable". The reason may be
// missing, and the space before it as well.
func parseStatusLine(line []byte) (res response, ok bool) {
	res.length = -1
	const status = len("HTTP/1.1 ")
	if len(line) < status+3 || string(line[:7]) != "HTTP/1." || !isDigit(line[7]) || line[8] != ' ' {
		return res, false
	}
	for _, c := range line[status : status+3] {
		if !isDigit(c) {
			return res, false
		}
		res.status = res.status*10 + int(c-'0')
	}
	reason := string(line[status+3:])
	if res.status < 100 || len(reason) > 0 && reason[0] != ' ' {
		return res, false
	}
	reason = strings.TrimSpace(reason)
	res.reason = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, reason[:min(len(reason), 80)])
	return res, true
}

// readLine returns the next line without its end, cut to maxResponseLine bytes.
// The line is valid until the next call. readLine subtracts the line's length
// from the budget.
func readLine(r *bufio.Reader, budget *int) ([]byte, error) {
	line, err := r.ReadSlice('\n')
	*budget -= len(line)
	if err == bufio.ErrBufferFull {
		line = bytes.Clone(line)
		for err == bufio.ErrBufferFull && *budget >= 0 {
			var more []byte
			more, err = r.ReadSlice('\n')
			*budget -= len(more)
		}
	}
	if *budget < 0 {
		return nil, fmt.Errorf("HTTP response header larger than %d KiB", maxResponseHead>>10)
	}
	if err != nil {
		if err == io.EOF && len(line) > 0 {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	return bytes.TrimRight(line, "\r\n"), nil
}
