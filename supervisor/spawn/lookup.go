package spawn

import (
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// defaultPath is used where PATH is not set, as in musl's execvp; glibc uses
// /bin:/usr/bin.
const defaultPath = "/usr/local/bin:/bin:/usr/bin"

// Candidates returns the files that execvp(3) would try for the command name, in
// order. An empty element of PATH means the current directory.
func Candidates(name string, env []string) []string {
	if name == "" || strings.Contains(name, "/") {
		return []string{name}
	}
	path, _ := SearchPath(env)
	var files []string
	for dir := range strings.SplitSeq(path, ":") {
		if dir == "" {
			dir = "."
		}
		files = append(files, strings.TrimSuffix(dir, "/")+"/"+name)
	}
	return files
}

// SearchPath returns PATH, or the default where PATH is not set.
func SearchPath(env []string) (path string, set bool) {
	for _, entry := range env {
		if value, ok := strings.CutPrefix(entry, "PATH="); ok {
			return value, true // getenv(3) returns the first one
		}
	}
	return defaultPath, false
}

// Replace replaces this process by the command, which is looked up as Candidates
// does. It returns only if that fails.
func Replace(argv, env []string) error {
	var err error
	for _, file := range Candidates(argv[0], env) {
		if e := unix.Exec(file, argv, env); err == nil || e == unix.EACCES {
			err = e
		}
	}
	return fmt.Errorf("cannot run %q: %w", argv[0], err)
}
