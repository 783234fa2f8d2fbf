package testmain

import (
	"slices"
	"strings"
)

// dropped are variables that change what shells, make, Go programs and
// systemd's protocols do. A star stands for any ending.
var dropped = []string{
	"BASH_ENV", "BASHOPTS", "CDPATH", "ENV", "POSIXLY_CORRECT", "PS4", "SHELLOPTS", // shells
	"LANG", "LANGUAGE", "LC_*", // messages of all programs
	// The caller's make. The variables of its command line are in the environment,
	// too.
	"MAKEFLAGS", "MAKEOVERRIDES", "MFLAGS", "GNUMAKEFLAGS", "MAKELEVEL",
	"GODEBUG", "GOGC", "GOMAXPROCS", "GOMEMLIMIT", // the runtime in usher
	"LISTEN_*", "NOTIFY_SOCKET", "WATCHDOG_*", // a service manager's
	"DUMB_INIT_*", "TINI_*", "USHER_*", // settings of inits
	"TMPDIR", // see tempDir
}

// environ returns the environment for the tests.
func environ(of, keep []string) []string {
	var env, proxyless []string
	path := "/usr/local/bin:/usr/bin:/bin"
	for _, variable := range of {
		name, value, _ := strings.Cut(variable, "=")
		switch {
		case name == "PATH":
			path = value
		case name == "NO_PROXY" || name == "no_proxy":
			proxyless = append(proxyless, value)
		case name == "GOFLAGS":
			if value = goFlags(value); value != "" {
				env = append(env, name+"="+value)
			}
		case matches(keep, name) || !matches(dropped, name):
			env = append(env, variable)
		}
	}
	// nginx, ip and others are in these directories, which the PATH of a user does
	// not always have.
	for _, dir := range []string{"/usr/local/sbin", "/usr/sbin", "/sbin"} {
		if !slices.Contains(strings.Split(path, ":"), dir) {
			path += ":" + dir
		}
	}
	// curl uses a proxy for localhost, too.
	noProxy := strings.Join(append(proxyless, "localhost", "127.0.0.1", "::1"), ",")
	return append(env, "PATH="+path, "NO_PROXY="+noProxy, "no_proxy="+noProxy)
}

func matches(patterns []string, name string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool {
		if prefix, ok := strings.CutSuffix(pattern, "*"); ok {
			return strings.HasPrefix(name, prefix)
		}
		return pattern == name
	})
}

// goFlags keeps the flags in GOFLAGS that say how to find code. Flags for the
// test binary (-race, -v, -tags …) would change the programs that the tests
// build.
func goFlags(value string) string {
	return strings.Join(slices.DeleteFunc(strings.Fields(value), func(flag string) bool {
		name, _, _ := strings.Cut(strings.TrimLeft(flag, "-"), "=")
		return !slices.Contains([]string{"mod", "modfile", "modcacherw", "buildvcs", "overlay", "p", "x"}, name)
	}), " ")
}
