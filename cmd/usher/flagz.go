package main

import (
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"usher/internal/printable"
)

// flagz appends each setting with its value and where that comes from, in the
// plain text format of Kubernetes' /flagz (KEP-4828). It is made when somebody
// asks: a start has nothing to do for it.
func (o *options) flagz(b []byte) []byte {
	o.flags.VisitAll(func(f *pflag.Flag) {
		if slices.Contains(notSettings, f.Name) {
			return
		}
		values, from := []string{f.Value.String()}, "flag"
		switch l, isList := f.Value.(*list); {
		case !f.Changed:
			values[0], from = f.DefValue, "default"
		case isList:
			values = l.values
		}
		if slices.Contains(o.variables, f.Name) {
			from = variable(f.Name)
		}
		for _, value := range values { // a repeatable flag has a line for each value
			b = append(append(b, f.Name...), '=')
			b = append(append(b, public(f.Name, value)...), " ("...)
			b = append(append(b, from...), ")\n"...)
		}
	})
	return b
}

const hidden = "(hidden)"

// public is a value without what is secret: a header's value, and the
// credentials in URLs.
func public(flag, value string) string {
	if flag == "check-header" {
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
