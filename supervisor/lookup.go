package supervisor

import (
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// defaultPath stands in for a missing PATH, as in musl's execvp; glibc's is /bin:/usr/bin.
const defaultPath = "/usr/local/bin:/bin:/usr/bin"

// candidates are the files execvp(3) would try for the command name, in order. Empty elements of PATH are the current directory.
func candidates(name string, env []string) []string {
	if name == "" || strings.Contains(name, "/") {
		return []string{name}
	}
	path, _ := searchPath(env)
	var files []string
	for dir := range strings.SplitSeq(path, ":") {
		if dir == "" {
			dir = "."
		}
		files = append(files, strings.TrimSuffix(dir, "/")+"/"+name)
	}
	return files
}

// searchPath is PATH, or what stands in for it where it is not set.
func searchPath(env []string) (path string, set bool) {
	for _, entry := range env {
		if value, ok := strings.CutPrefix(entry, "PATH="); ok {
			return value, true // getenv(3) takes the first
		}
	}
	return defaultPath, false
}

// Replace makes this process the command, looked up as Run would. It returns only to say why it cannot.
func Replace(argv, env []string) error {
	var err error
	for _, file := range candidates(argv[0], env) {
		if e := unix.Exec(file, argv, env); err == nil || e == unix.EACCES {
			err = e
		}
	}
	return fmt.Errorf("cannot run %q: %w", argv[0], err)
}
