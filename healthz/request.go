package healthz

import (
	"bytes"
	"strings"
)

// Limits on a request's head, in bytes. Kubelet's is about 150, a proxy's seldom more than 2000.
const (
	maxHead   = 8192 // all of it; more is 431. Also the size of a connection's read buffer
	maxTarget = 2048 // the request line; more is 414
)

type method int

const (
	methodOther method = iota
	methodGet
	methodHead
)

// request is what the server needs of a request's head. Its slices point into the connection's buffer.
type request struct {
	method  method
	options bool   // the method was OPTIONS, which is answered as GET is
	path    []byte // percent-decoded, with its leading slash
	query   []byte // as sent, without the question mark
	http10  bool
	keep    bool // the client will keep the connection open
	body    bool // a body follows

	openMetrics bool // the client takes OpenMetrics
}

// refusal is why a request gets no endpoint's answer. The zero value is no refusal.
type refusal struct {
	status int
	reason string // goes into the answer: constant text, never what the client sent
}

func bad(reason string) refusal { return refusal{400, reason} }

// headEnd returns the length of the head at the start of b including the empty line that ends it, or -1 if that has not
// come yet. The first from bytes are known to hold no such end. A line ends in LF, with or without CR (RFC 9112 2.2).
func headEnd(b []byte, from int) int {
	for i := max(0, from-2); ; i++ { // an end that is still incomplete is at most \n\r
		lf := bytes.IndexByte(b[i:], '\n')
		if lf < 0 {
			return -1
		}
		i += lf
		switch rest := b[i+1:]; {
		case len(rest) > 0 && rest[0] == '\n':
			return i + 2
		case len(rest) > 1 && rest[0] == '\r' && rest[1] == '\n':
			return i + 3
		}
	}
}

// cutLine returns the first line of b without its end, and what follows. b holds an LF.
func cutLine(b []byte) (line, rest []byte) {
	i := bytes.IndexByte(b, '\n')
	line, rest = b[:i], b[i+1:]
	if i > 0 && line[i-1] == '\r' {
		line = line[:i-1]
	}
	return line, rest
}

// parseRequest reads a complete head, as headEnd delimits it. It decodes the path in place.
//
// Where RFC 9112 lets a recipient choose between repairing and refusing, it refuses: nobody needs a repaired probe, and
// every repair is a way for a proxy and us to see two different requests.
func parseRequest(head []byte) (request, refusal) {
	line, rest := cutLine(head)
	r, no := parseRequestLine(line)
	if no.status != 0 {
		return r, no
	}
	f, no := parseFields(rest)
	switch {
	case no.status != 0:
	case f.hosts > 1:
		no = bad("more than one Host")
	case f.hosts == 0 && !r.http10:
		no = bad("no Host")
	case f.codings > 0 && (f.lengths > 0 || f.codings > 1 || r.http10):
		no = bad("body of unclear length") // RFC 9112 6.1, 6.3: request smuggling
	case f.codings > 0 && !f.chunked:
		no = refusal{501, "unknown Transfer-Encoding"}
	}
	r.body = f.codings > 0 || f.length
	r.openMetrics = f.openMetrics
	r.keep = !f.close && (!r.http10 || f.keepAlive)
	return r, no
}

func parseRequestLine(line []byte) (r request, no refusal) {
	if len(line) > maxTarget {
		return r, refusal{414, ""}
	}
	name, target, ok := bytes.Cut(line, []byte{' '})
	target, version, ok2 := bytes.Cut(target, []byte{' '})
	if !ok || !ok2 || len(name) == 0 || !all(name, isToken) || len(target) == 0 || !all(target, isTarget) {
		return r, bad("malformed request line")
	}
	if len(version) != len("HTTP/1.1") || string(version[:5]) != "HTTP/" ||
		!isDigit(version[5]) || version[6] != '.' || !isDigit(version[7]) {
		return r, bad("malformed HTTP version")
	}
	if version[5] != '1' {
		return r, refusal{505, ""}
	}
	r.http10 = version[7] == '0'
	switch string(name) {
	case "GET":
		r.method = methodGet
	case "HEAD":
		r.method = methodHead
	case "OPTIONS": // what HAProxy's httpchk sends
		r.method, r.options = methodGet, true
		if string(target) == "*" { // the server as a whole (RFC 9112 3.2.4)
			target = []byte("/")
		}
	case "CONNECT": // its target is an authority
		return r, refusal{405, ""}
	}
	if target[0] != '/' { // the absolute form, as sent to proxies; every server has to take it (RFC 9112 3.2.2)
		var authority []byte
		if authority, target = cutAuthority(target); len(authority) == 0 || !all(authority, isHost) {
			return r, bad("malformed target")
		}
	}
	r.path, r.query, _ = bytes.Cut(target, []byte{'?'})
	if len(r.path) == 0 {
		r.path = []byte{'/'}
	}
	if r.path, ok = unescape(r.path, false); !ok {
		return r, bad("malformed escape in path")
	}
	return r, refusal{}
}

// cutAuthority splits a target in absolute form; authority is empty where it is none.
func cutAuthority(target []byte) (authority, rest []byte) {
	for _, scheme := range []string{"http://", "https://"} {
		if len(target) > len(scheme) && equalFold(target[:len(scheme)], scheme) {
			target = target[len(scheme):]
			if i := strings.IndexAny(string(target), "/?"); i >= 0 {
				return target[:i], target[i:]
			}
			return target, nil
		}
	}
	return nil, nil
}

// fields is what the server needs of a request's header fields.
type fields struct {
	hosts, lengths, codings int  // how many there were of Host, Content-Length, Transfer-Encoding
	length                  bool // a Content-Length other than 0
	chunked                 bool
	close, keepAlive        bool // options of Connection
	openMetrics             bool // in Accept
}

// parseFields reads header lines up to and including the empty one.
func parseFields(b []byte) (f fields, no refusal) {
	for {
		var line []byte
		if line, b = cutLine(b); len(line) == 0 {
			return f, refusal{}
		}
		if line[0] == ' ' || line[0] == '\t' {
			return f, bad("folded header") // RFC 9112 5.2
		}
		name, value, ok := bytes.Cut(line, []byte{':'})
		if !ok || len(name) == 0 || !all(name, isToken) || !all(value, isValue) {
			return f, bad("malformed header") // a space before the colon is one too: RFC 9112 5.1
		}
		value = bytes.Trim(value, " \t")
		switch {
		case equalFold(name, "host"):
			f.hosts++
			if !all(value, isHost) {
				return f, bad("malformed Host")
			}
		case equalFold(name, "content-length"):
			f.lengths++
			if f.lengths > 1 || len(value) == 0 || len(value) > 18 || !all(value, isDigit) {
				return f, bad("malformed Content-Length")
			}
			f.length = len(bytes.TrimLeft(value, "0")) > 0
		case equalFold(name, "transfer-encoding"):
			f.codings++
			f.chunked = equalFold(value, "chunked")
		case equalFold(name, "accept"):
			f.openMetrics = f.openMetrics || bytes.Contains(value, []byte("application/openmetrics-text"))
		case equalFold(name, "connection"):
			for len(value) > 0 {
				var option []byte
				option, value, _ = bytes.Cut(value, []byte{','})
				option = bytes.Trim(option, " \t")
				f.close = f.close || equalFold(option, "close")
				f.keepAlive = f.keepAlive || equalFold(option, "keep-alive")
			}
		}
	}
}

func all(b []byte, is func(byte) bool) bool {
	for _, c := range b {
		if !is(c) {
			return false
		}
	}
	return true
}

// equalFold compares with ASCII letters' case ignored; want is in lower case.
func equalFold(b []byte, want string) bool {
	if len(b) != len(want) {
		return false
	}
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != want[i] {
			return false
		}
	}
	return true
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func isAlnum(c byte) bool { return isDigit(c) || 'a' <= c|0x20 && c|0x20 <= 'z' }

// isToken: tchar of RFC 9110 5.6.2.
func isToken(c byte) bool {
	if isAlnum(c) {
		return true
	}
	switch c {
	case '!', '#', '$', '%', '&', '\'', '*', '+', '-', '.', '^', '_', '`', '|', '~':
		return true
	}
	return false
}

// isTarget: visible ASCII; a fragment is never sent (RFC 9112 3.2).
func isTarget(c byte) bool { return 0x20 < c && c < 0x7f && c != '#' }

// isValue: what a field's value may hold (RFC 9110 5.5); no NUL, CR or other control.
func isValue(c byte) bool { return c == '\t' || 0x20 <= c && c != 0x7f }

// isHost: uri-host and port (RFC 9110 7.2), not further analysed; no userinfo.
func isHost(c byte) bool {
	if isAlnum(c) {
		return true
	}
	switch c {
	case '-', '.', '_', '~', '!', '$', '&', '\'', '(', ')', '*', '+', ',', ';', '=', ':', '[', ']', '%':
		return true
	}
	return false
}
