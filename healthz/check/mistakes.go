package check

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"usher/internal/spelling"
)

// unknown returns the error for a check that begins with name, which is no kind
// of check.
func (c *Check) unknown(name string) error {
	at, path, isPath := strings.Cut(c.spec, "/")
	if _, err := strconv.ParseUint(at, 10, 16); err == nil {
		at = "localhost:" + at
	}
	tcp, http := "tcp://"+at, "http://"+at+"/"+path
	_, noPort := Parse(tcp)
	_, noURL := Parse(http)
	switch {
	case noPort != nil || noURL != nil:
		return fmt.Errorf("must begin with one of %s, and a colon%s",
			strings.Join(kinds[:], ", "), spelling.DidYouMean("", name, kinds[:]))
	case isPath:
		return errors.New("write " + http)
	}
	return errors.New("write " + tcp + " or " + http)
}

var errSeveral = errors.New("more than one check: write one a line in a variable, or give the flag again")

// isSeveral reports whether further checks follow in what was meant to be one.
// A query may hold other URLs.
func isSeveral(s string) bool {
	s, _, _ = strings.Cut(s, "?")
	for i := range len(s) {
		if s[i] == ',' || s[i] == ' ' || s[i] == ';' {
			name, _, ok := strings.Cut(strings.TrimLeft(s[i+1:], " "), ":")
			if ok && slices.Contains(kinds[:], name) {
				return true
			}
		}
	}
	return false
}
