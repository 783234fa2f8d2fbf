package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/pflag"
)

// envPrefix begins the names of usher's variables.
const envPrefix = "USHER_"

// notSettings are the flags without a variable, which ask for an action. If an
// image sets USHER_HEALTH_ADDR with ENV, that must not turn every start of
// usher into a probe.
var notSettings = []string{"help", "version", "probe", "install", "plan"}

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
	o.flags.VisitAll(func(f *pflag.Flag) {
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
			if each[0] == "" { // Compose sets an unknown variable to ""
				return
			}
		}
		o.variables = append(o.variables, f.Name)
		for _, v := range each {
			if err := o.flags.Set(f.Name, v); err != nil {
				errs = append(errs, fmt.Errorf("in %s: %w", variable(f.Name), withUnit(err)))
				restore(o.flags, err)
			}
		}
	})
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
