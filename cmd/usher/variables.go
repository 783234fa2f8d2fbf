package main

import (
	"fmt"
	"slices"
	"strings"
)

// envPrefix begins the names of usher's variables.
const envPrefix = "USHER_"

// parseEnv sets the flags that were not given to the values of their variables.
// rest is the environment without usher's variables. It notes names that belong
// to no flag as unknown. They are no error, as they may be meant for the app.
// Kubernetes makes some for a Service named usher: those are not noted.
func (o *options) parseEnv(environ []string) (rest []string, errs []error) {
	var unknown []string
	values := map[string]string{}
	for _, entry := range environ {
		name, value, _ := strings.Cut(entry, "=")
		if !strings.HasPrefix(name, envPrefix) {
			rest = append(rest, entry)
		} else if _, ok := values[name]; !ok {
			values[name] = value // getenv(3) sees the first of two
			unknown = append(unknown, name)
		}
	}
	if len(values) == 0 {
		return rest, nil
	}
	for i := range o.settings {
		s := &o.settings[i]
		name := variable(s.name)
		value, ok := values[name]
		if !ok || s.asks {
			continue
		}
		delete(values, name)
		if s.from != "" {
			continue
		}
		each := []string{strings.TrimSpace(value)} // an annotation or a ConfigMap's value may end in a newline
		switch s.value.(type) {
		case func(string) error:
			each = slices.DeleteFunc(strings.Split(value, "\n"), func(line string) bool { return line == "" })
		case *string:
		default:
			if each[0] == "" { // Compose sets an unknown variable to ""
				continue
			}
		}
		for _, v := range each {
			if err := s.set(v, name); err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", name, err))
			}
		}
	}
	o.unknown = slices.DeleteFunc(unknown, func(name string) bool {
		_, left := values[name]
		return !left || strings.Contains(name+"_", "_SERVICE_") || strings.Contains(name+"_", "_PORT_")
	})
	return rest, errs
}

// variable returns the name of a flag's environment variable.
func variable(flag string) string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}
