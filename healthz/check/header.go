package check

import (
	"errors"
	"fmt"
	"strings"
)

// Header is a header field of HTTP checks. A Host, User-Agent or Accept
// replaces usher's own, as in Kubernetes' httpHeaders.
type Header struct{ Name, Value string }

// ParseHeader reads "Name: value".
func ParseHeader(s string) (Header, error) {
	name, value, ok := strings.Cut(s, ":")
	value = strings.Trim(value, " \t")
	if err := validHeader(name, value, ok); err != nil {
		return Header{}, fmt.Errorf("check header %q: %w", s, err)
	}
	return Header{name, value}, nil
}

func validHeader(name, value string, colon bool) error {
	if !colon || name == "" {
		return errors.New("want NAME: VALUE")
	}
	for i := range len(name) {
		if c := name[i]; !isAlnum(c) && strings.IndexByte("!#$%&'*+-.^_`|~", c) < 0 { // a token (RFC 9110 5.6.2)
			return fmt.Errorf("%q cannot be in a name", name[i:i+1])
		}
	}
	for i := range len(value) {
		if c := value[i]; c < ' ' && c != '\t' || c == 0x7f {
			return fmt.Errorf("%q cannot be in a value", value[i:i+1])
		}
	}
	if given([]Header{{Name: "connection"}, {Name: "content-length"}, {Name: "transfer-encoding"}}, name) {
		return errors.New("a check sets this header field itself, or sends none")
	}
	return nil
}

// SetHeaders adds header fields to an HTTP check, and does nothing for any
// other kind. Call it before Run.
func (c *Check) SetHeaders(headers []Header) { c.headers = headers }

// request returns the text of an HTTP check's request. A header field of the
// check replaces usher's own of that name.
func (c *Check) request() string {
	own := []Header{{"Host", c.hostHeader}, {"User-Agent", "usher/" + Version}, {"Accept", "*/*"}}
	r := "GET " + c.target + " HTTP/1.1\r\n"
	for i, h := range append(own, c.headers...) {
		if i >= len(own) || !given(c.headers, h.Name) {
			r += h.Name + ": " + h.Value + "\r\n"
		}
	}
	return r + "Connection: close\r\n\r\n"
}

func given(headers []Header, name string) bool {
	for _, h := range headers {
		if strings.EqualFold(h.Name, name) {
			return true
		}
	}
	return false
}
