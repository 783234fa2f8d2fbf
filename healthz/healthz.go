// Package healthz answers /livez, /readyz and their like in the format of
// Kubernetes' own components.
//
// It has an HTTP/1.1 server of its own, because net/http would more than double
// the size of usher. Server says what this one can do. Endpoints read
// snapshots: a request can never block the component that it reports about.
package healthz

import (
	"bytes"
	"slices"
	"strconv"
	"unicode/utf8"

	"usher/internal/printable"
)

// Result is one line of an endpoint's answer. Failure is "" if the check holds.
// Note is shown beside a check that holds, in a verbose answer.
type Result struct{ Name, Failure, Note string }

// Endpoint reads a snapshot and appends one Result per check to results, in
// order. It never blocks, because all other clients wait meanwhile.
type Endpoint func(results []Result) []Result

// maxFailure limits the text of one failure in an answer, in bytes.
const maxFailure = 512

// appendAnswer appends the body for the endpoint with that name, and reports
// whether all checks hold that the query does not exclude. The format is that
// of k8s.io/apiserver/pkg/server/healthz, byte for byte.
func appendAnswer(b []byte, name string, results []Result, q query) (body []byte, ok bool) {
	ok = true
	for _, r := range results {
		if r.Failure != "" && !slices.Contains(q.exclude, r.Name) {
			ok = false
		}
	}
	if ok && !q.verbose {
		return append(b, "ok"...), true
	}
	for _, r := range results {
		switch {
		case slices.Contains(q.exclude, r.Name):
			b = append(append(append(b, "[+]"...), r.Name...), " excluded: ok\n"...)
		case r.Failure == "":
			b = append(append(append(b, "[+]"...), r.Name...), " ok"...)
			if r.Note != "" {
				b = appendLine(append(b, ": "...), r.Note)
			}
			b = append(b, '\n')
		default:
			b = append(append(append(b, "[-]"...), r.Name...), " failed: "...)
			b = append(appendLine(b, r.Failure), '\n')
		}
	}
	b = appendUnmatched(b, results, q.exclude)
	b = append(b, name...)
	if ok {
		return append(b, " check passed\n"...), true
	}
	return append(b, " check failed\n"...), false
}

// only returns the result with that name, or nil.
func only(results []Result, name []byte) []Result {
	for i := range results {
		if results[i].Name == string(name) {
			return results[i : i+1]
		}
	}
	return nil
}

// appendUnmatched warns about excluded names that no check has: sorted, and
// each one once, as apiserver's set has them.
func appendUnmatched(b []byte, results []Result, exclude []string) []byte {
	var unmatched []string
	for _, name := range exclude {
		at, known := slices.BinarySearch(unmatched, name)
		if !known && !slices.ContainsFunc(results, func(r Result) bool { return r.Name == name }) {
			unmatched = append(unmatched, "") // not slices.Insert: 3 kB
			copy(unmatched[at+1:], unmatched[at:])
			unmatched[at] = name
		}
	}
	if unmatched == nil {
		return b
	}
	b = append(b, "warn: some health checks cannot be excluded: no matches for "...)
	for i, name := range unmatched {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendQuote(b, name)
	}
	return append(b, '\n')
}

// appendLine appends text as one printable line of at most maxFailure bytes.
// The text of a failure may quote a server.
func appendLine(b []byte, text string) []byte {
	limit := len(b) + maxFailure
	for _, r := range text {
		r = printable.Rune(r)
		if len(b)+utf8.RuneLen(r) > limit-len("…") {
			return append(b, "…"...)
		}
		b = utf8.AppendRune(b, r)
	}
	return b
}

// query holds what an endpoint takes from a request's query string.
type query struct {
	verbose bool     // the key is present, with any value
	exclude []string // values of exclude, in order
	json    bool     // format=json
}

// parseQuery reads a query string by the rules of net/url's ParseQuery, as
// apiserver uses it: it ignores a part that has a semicolon or a bad escape,
// and a plus is a space.
func parseQuery(raw []byte) query {
	var q query
	for len(raw) > 0 {
		var part []byte
		part, raw, _ = bytes.Cut(raw, []byte{'&'})
		if bytes.IndexByte(part, ';') >= 0 {
			continue
		}
		key, value, _ := bytes.Cut(part, []byte{'='})
		key, ok := unescape(key, true)
		if !ok {
			continue
		}
		value, ok = unescape(value, true)
		if !ok {
			continue
		}
		switch string(key) {
		case "verbose":
			q.verbose = true
		case "exclude":
			q.exclude = append(q.exclude, string(value))
		case "format":
			q.json = string(value) == "json"
		}
	}
	return q
}

// unescape decodes percent escapes and, if plus is set, pluses to spaces. It
// writes the result over b, where it always fits.
func unescape(b []byte, plus bool) (decoded []byte, ok bool) {
	if bytes.IndexByte(b, '%') < 0 && (!plus || bytes.IndexByte(b, '+') < 0) {
		return b, true
	}
	n := 0
	for i := 0; i < len(b); i++ {
		c := b[i]
		switch {
		case c == '+' && plus:
			c = ' '
		case c == '%':
			if i+2 >= len(b) {
				return nil, false
			}
			hi, lo := unhex(b[i+1]), unhex(b[i+2])
			if hi < 0 || lo < 0 {
				return nil, false
			}
			c = byte(hi<<4 | lo)
			i += 2
		}
		b[n] = c
		n++
	}
	return b[:n], true
}

func unhex(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}
