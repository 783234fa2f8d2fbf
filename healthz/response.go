package healthz

import "strconv"

// statusText returns the reason phrase of a status that this server sends (RFC
// 9110 15).
func statusText(status int) string {
	switch status {
	case 200:
		return "OK"
	case 400:
		return "Bad Request"
	case 404:
		return "Not Found"
	case 405:
		return "Method Not Allowed"
	case 408:
		return "Request Timeout"
	case 414:
		return "URI Too Long"
	case 431:
		return "Request Header Fields Too Large"
	case 500:
		return "Internal Server Error"
	case 501:
		return "Not Implemented"
	case 503:
		return "Service Unavailable"
	case 505:
		return "HTTP Version Not Supported"
	}
	panic("healthz: no text for status " + strconv.Itoa(status))
}

// response is one answer. It always has a Content-Length, so that the client
// finds its end without waiting for the end of the connection.
type response struct {
	status int
	kind   string // content type of the body; "" stands for Plain
	body   []byte
	allow  bool // list the allowed methods
	head   bool // the request was HEAD: send the header only
	close  bool // the connection ends after this answer
	http10 bool // the client speaks HTTP/1.0, and has to be told if the connection stays open
}

// appendTo appends the response. It announces HTTP/1.1 to HTTP/1.0 clients as
// well (RFC 9110 6.2).
func (r response) appendTo(b, date []byte) []byte {
	b = append(b, "HTTP/1.1 "...)
	b = strconv.AppendInt(b, int64(r.status), 10)
	b = append(b, ' ')
	b = append(b, statusText(r.status)...)
	b = append(b, "\r\nContent-Type: "...)
	if r.kind == "" {
		r.kind = Plain
	}
	b = append(b, r.kind...)
	b = append(b, "\r\nX-Content-Type-Options: nosniff\r\nCache-Control: no-store\r\nDate: "...)
	b = append(b, date...)
	b = append(b, "\r\nContent-Length: "...)
	b = strconv.AppendInt(b, int64(len(r.body)), 10)
	if r.allow {
		b = append(b, "\r\nAllow: GET, HEAD, OPTIONS"...)
	}
	switch {
	case r.close:
		b = append(b, "\r\nConnection: close"...)
	case r.http10:
		b = append(b, "\r\nConnection: keep-alive"...)
	}
	b = append(b, "\r\n\r\n"...)
	if r.head {
		return b
	}
	return append(b, r.body...)
}

// httpDate returns the Date of all answers in this turn. It is formatted once a
// second.
func (s *Server) httpDate() []byte {
	if now := s.at.Unix(); now != s.dateSecond || s.date == nil {
		s.date, s.dateSecond = s.at.UTC().AppendFormat(s.date[:0], "Mon, 02 Jan 2006 15:04:05 GMT"), now
	}
	return s.date
}

// paths is the hint in a 404.
const paths = "try /livez, /readyz, /startupz, /metrics, /timeline, /statusz or /flagz"

// appendRefusal appends the body that goes with a refusal: "400 Bad Request: no
// Host\n".
func appendRefusal(b []byte, refused refusal) []byte {
	b = strconv.AppendInt(b, int64(refused.status), 10)
	b = append(b, ' ')
	b = append(b, statusText(refused.status)...)
	if refused.reason != "" {
		b = append(append(b, ": "...), refused.reason...)
	}
	return append(b, '\n')
}
