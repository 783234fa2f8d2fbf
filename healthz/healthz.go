// Package healthz answers /livez, /readyz and their like in the format of Kubernetes' own components.
//
// It speaks HTTP/1.1 by itself: net/http would more than double usher (5.95 MB against 2.47; server.go says what this one does and does
// not do). Endpoints read snapshots; a request can never block what it
// reports about.
package healthz

import (
	"bytes"
	"slices"
	"strconv"
	"unicode/utf8"

	"usher/internal/printable"
)

// Result is one line of an endpoint's answer; Failure is "" where the check holds. Note is shown where all are and this one holds.
type Result struct{ Name, Failure, Note string }

// Endpoint reads a snapshot and appends one Result a check to results, in order. It never blocks: others wait for their answers meanwhile.
type Endpoint func(results []Result) []Result

// maxFailure bounds one failure's text in an answer, in bytes.
const maxFailure = 512

// appendAnswer appends the body for the endpoint of that name and reports whether all checks hold, those that the query
// excludes aside. Byte for byte the format of k8s.io/apiserver/pkg/server/healthz.
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

// only returns the result of that name, or nil.
func only(results []Result, name []byte) []Result {
	for i := range results {
		if results[i].Name == string(name) {
			return results[i : i+1]
		}
	}
	return nil
}

// appendUnmatched warns of excluded names that no check has; sorted and each once, as apiserver's set gives them.
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

// appendLine appends text as one printable line of at most maxFailure bytes: a failure's text may quote what a server sent.
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

// query is what an endpoint takes from a request's query string.
type query struct {
	verbose bool     // the key is present, whatever its value
	exclude []string // values of exclude, in order
}

// parseQuery reads a query string by the rules of net/url's ParseQuery as apiserver uses it: a part with a semicolon or a
// bad escape is ignored, a plus is a space.
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
		}
	}
	return q
}

// unescape decodes percent escapes, and pluses to spaces where asked. It writes the result over b, where it always fits.
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
