package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/pflag"
)

// envPrefix begins the variables that are usher's.
const envPrefix = "USHER_"

// notSettings are flags without a variable: what they ask for is a deed, not a setting. An image that sets USHER_HEALTH_ADDR with
// ENV must not turn every start of usher into a probe.
var notSettings = []string{"help", "version", "probe", "install", "plan"}

// parseEnv gives the flags that were not given the values of their variables, and returns the environment that is not usher's, and the names that
// are no flag's. These are no error, as they may be meant for the app, nor worth a word where Kubernetes makes them for a Service named usher.
func parseEnv(fs *pflag.FlagSet, environ []string) (rest, unknown []string, errs []error) {
	values := map[string]string{}
	for _, entry := range environ {
		name, value, _ := strings.Cut(entry, "=")
		if !strings.HasPrefix(name, envPrefix) {
			rest = append(rest, entry)
		} else if _, ok := values[name]; !ok {
			values[name] = value // of two, getenv(3) sees the first
			unknown = append(unknown, name)
		}
	}
	if len(values) == 0 {
		return rest, nil, nil
	}
	fs.VisitAll(func(f *pflag.Flag) {
		value, ok := values[variable(f.Name)]
		if !ok || slices.Contains(notSettings, f.Name) {
			return
		}
		delete(values, variable(f.Name))
		if f.Changed {
			return
		}
		each := []string{strings.TrimSpace(value)} // an annotation or a ConfigMap's value may end in a newline
		switch f.Value.Type() {
		case "list":
			each = slices.DeleteFunc(strings.Split(value, "\n"), func(line string) bool { return line == "" })
		case "string":
		default:
			if each[0] == "" { // as Compose sets a variable that it does not know
				return
			}
		}
		for _, v := range each {
			if err := fs.Set(f.Name, v); err != nil {
				errs = append(errs, fmt.Errorf("in %s: %w", variable(f.Name), withUnit(err)))
				restore(fs, err)
			}
		}
	})
	unknown = slices.DeleteFunc(unknown, func(name string) bool {
		_, left := values[name]
		return !left || strings.Contains(name+"_", "_SERVICE_") || strings.Contains(name+"_", "_PORT_")
	})
	return rest, unknown, errs
}

// variable is the environment variable of a flag.
func variable(flag string) string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}
