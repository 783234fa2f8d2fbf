package check

import (
	"errors"
	"fmt"
	"strings"
)

// Header is a field that goes with HTTP checks. A Host, User-Agent or Accept replaces usher's own, as in Kubernetes' httpHeaders.
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
		return errors.New("a check sends its own, or none")
	}
	return nil
}

// SetHeaders adds header fields to an HTTP check; any other kind leaves them alone. To be called before Run.
func (c *Check) SetHeaders(headers []Header) { c.headers = headers }

// request is the whole of it. What a Header says replaces what usher would.
func (c *Check) request() string {
	fields := append([]Header{{"Host", c.hostHeader}, {"User-Agent", "usher/" + Version}, {"Accept", "*/*"}}, c.headers...)
	r := "GET " + c.target + " HTTP/1.1\r\n"
	for i, h := range fields {
		if own := len(fields) - len(c.headers); i >= own || !given(c.headers, h.Name) {
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
