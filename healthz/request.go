package healthz

import (
	"bytes"
	"strings"
)

// Limits on a request's head, in bytes. Kubelet's head has about 150, a proxy's
// seldom more than 2000.
const (
	maxHead   = 8192 // the whole head, beyond which the answer is 431; also the server's buffer
	maxTarget = 2048 // the request line, beyond which the answer is 414
)

type method int

const (
	methodOther method = iota
	methodGet
	methodHead
)

// request holds the parts of a request's head that the server needs. Its slices
// point into the server's buffer.
type request struct {
	method  method
	options bool   // the method was OPTIONS, which is answered like GET
	path    []byte // percent-decoded, with its leading slash
	query   []byte // as sent, without the question mark
	http10  bool
	keep    bool // the client keeps the connection open
	body    bool // a body follows

	openMetrics bool // the client accepts OpenMetrics
}

// refusal is the reason for a request that no endpoint answers. The zero value
// means that there is none.
type refusal struct {
	status int
	reason string // goes into the answer: constant text, never text from the client
}

func bad(reason string) refusal { return refusal{400, reason} }

// headEnd returns the length of the head at the start of b, with the empty line
// that ends it, or -1 if b does not hold all of it yet. The caller knows that
// the first from bytes hold no end. A line ends in LF, with or without CR (RFC
// 9112 2.2).
func headEnd(b []byte, from int) int {
	for i := max(0, from-2); ; i++ { // an incomplete end is at most \n\r
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

// cutLine returns the first line of b without its end, and the rest. b holds an
// LF.
func cutLine(b []byte) (line, rest []byte) {
	i := bytes.IndexByte(b, '\n')
	line, rest = b[:i], b[i+1:]
	if i > 0 && line[i-1] == '\r' {
		line = line[:i-1]
	}
	return line, rest
}

// parseRequest reads a complete head, as headEnd delimits it. It decodes the
// path in place.
//
// Where RFC 9112 lets a recipient choose between repairing and refusing,
// parseRequest refuses. Probes need no repairs, and with every repair a proxy
// and usher could see two different requests.
func parseRequest(head []byte) (request, refusal) {
	line, rest := cutLine(head)
	r, refused := parseRequestLine(line)
	if refused.status != 0 {
		return r, refused
	}
	f, refused := parseFields(rest)
	switch {
	case refused.status != 0:
	case f.hosts > 1:
		refused = bad("more than one Host")
	case f.hosts == 0 && !r.http10:
		refused = bad("no Host")
	case f.codings > 0 && (f.lengths > 0 || f.codings > 1 || r.http10):
		refused = bad("body of unclear length") // RFC 9112 6.1, 6.3: request smuggling
	case f.codings > 0 && !f.chunked:
		refused = refusal{501, "unknown Transfer-Encoding"}
	}
	r.body = f.codings > 0 || f.length
	r.openMetrics = f.openMetrics
	r.keep = !f.close && (!r.http10 || f.keepAlive)
	return r, refused
}

func parseRequestLine(line []byte) (r request, refused refusal) {
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
	case "OPTIONS": // HAProxy's httpchk sends it
		r.method, r.options = methodGet, true
		if string(target) == "*" { // the server as a whole (RFC 9112 3.2.4)
			target = []byte("/")
		}
	case "CONNECT": // its target is an authority
		return r, refusal{405, ""}
	}
	if target[0] != '/' { // the absolute form, for proxies; a server has to accept it (RFC 9112 3.2.2)
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

// cutAuthority splits a target in absolute form. For any other target,
// authority is empty.
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

// fields holds what the server needs of a request's header fields.
type fields struct {
	hosts, lengths, codings int  // number of Host, Content-Length, Transfer-Encoding
	length                  bool // Content-Length is not 0
	chunked                 bool
	close, keepAlive        bool // options of Connection
	openMetrics             bool // Accept names it
}

// parseFields reads header lines up to and including the empty one.
func parseFields(b []byte) (f fields, refused refusal) {
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
			return f, bad("malformed header") // also for a space before the colon: RFC 9112 5.1
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

// equalFold compares without regard to the case of ASCII letters. want is in
// lower case.
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

// isToken reports whether c may be in a token (tchar, RFC 9110 5.6.2).
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

// isTarget reports whether c may be in a target: visible ASCII, without the #
// of a fragment, which is never sent (RFC 9112 3.2).
func isTarget(c byte) bool { return 0x20 < c && c < 0x7f && c != '#' }

// isValue reports whether c may be in a field's value (RFC 9110 5.5): no NUL,
// CR or other control character.
func isValue(c byte) bool { return c == '\t' || 0x20 <= c && c != 0x7f }

// isHost reports whether c may be in a host with a port (RFC 9110 7.2). It does
// not analyse them further, and allows no userinfo.
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
