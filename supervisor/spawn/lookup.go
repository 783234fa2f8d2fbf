package spawn

import (
	"fmt"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"usher/internal/execvp"
)

// Candidates returns the files that execvp(3) would try for the command name, in
// order.
func Candidates(name string, env []string) []string {
	if name == "" || strings.Contains(name, "/") {
		return []string{name}
	}
	path, _ := SearchPath(env)
	var files []string
	for dir, more := "", true; more; {
		dir, path, more = execvp.Cut(path)
		files = append(files, dir+"/"+name)
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
	return execvp.DefaultPath, false
}

// Replace replaces this process by the program argv, which is looked up as
// execvp(3) does. It returns only if that fails.
func Replace(argv, env []string) error {
	var search execvp.Failure
	for i, file := range Candidates(argv[0], env) {
		errno, _ := unix.Exec(file, argv, env).(syscall.Errno)
		if !search.Next(errno, uintptr(i)) {
			break
		}
	}
	return fmt.Errorf("cannot run %q: %w", argv[0], search.Errno)
}
