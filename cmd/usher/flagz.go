package main

import (
	"cmp"
	"strings"

	"usher/internal/printable"
)

// flagz appends each setting with its value and where that comes from, in the
// plain text format of Kubernetes' /flagz (KEP-4828). The page is made for each
// request, so a start has nothing to do for it.
func (o *options) flagz(b []byte) []byte {
	for s := o.following(""); s != nil; s = o.following(s.name) {
		if s.asks {
			continue
		}
		for _, value := range s.values() { // a repeatable flag has a line for each value
			b = append(append(b, s.name...), '=')
			b = append(append(b, public(s.name, value)...), " ("...)
			b = append(append(b, cmp.Or(s.from, "default")...), ")\n"...)
		}
	}
	return b
}

// following returns the first setting after name in the order of names, or nil.
// Package slices' sort would be 21 kB of code.
func (o *options) following(name string) (next *setting) {
	for i := range o.settings {
		if s := &o.settings[i]; s.name > name && (next == nil || s.name < next.name) {
			next = s
		}
	}
	return next
}

const hidden = "(hidden)"

// public is a value without what is secret: a header's value, and the
// credentials in URLs.
func public(flag, value string) string {
	if flag == "check-header" && value != "" {
		name, _, _ := strings.Cut(value, ":")
		return name + ": " + hidden
	}
	value = printable.Line(value)
	const mark = "://"
	for at := 0; ; {
		i := strings.Index(value[at:], mark)
		if i < 0 {
			return value
		}
		at += i + len(mark)
		authority := value[at:]
		if end := strings.IndexAny(authority, "/?# \"'"); end >= 0 {
			authority = authority[:end]
		}
		if user := strings.LastIndexByte(authority, '@'); user >= 0 {
			value = value[:at] + hidden + value[at+user:]
		}
	}
}
