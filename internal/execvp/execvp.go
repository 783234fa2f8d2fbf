// Package execvp has the rules by which execvp(3) finds a program: where it
// looks, after which errors it goes on, and which error it reports.
//
// A forked child uses them, and so does the entry point before there is a Go
// runtime (signals/entry): nothing here allocates memory, or calls what does.
package execvp

import "syscall"

// DefaultPath is used where PATH is not set, as in musl's execvp; glibc uses
// /bin:/usr/bin.
const DefaultPath = "/usr/local/bin:/bin:/usr/bin"

// Cut takes the first directory from a search path such as PATH. The file to try
// is dir + "/" + name. An empty element means the current directory.
//
//go:nosplit
//go:norace
func Cut(path string) (dir, rest string, more bool) {
	dir = path
	for i := range len(path) {
		if path[i] == ':' {
			dir, rest, more = path[:i], path[i+1:], true
			break
		}
	}
	if dir == "" {
		return ".", rest, more
	}
	if last := len(dir) - 1; dir[last] == '/' {
		dir = dir[:last]
	}
	return dir, rest, more
}

// Failure is what execvp(3) reports if no file can be executed.
type Failure struct {
	Errno syscall.Errno
	File  uintptr // which of the files it was, by its place in the search
}

// Next takes the error of execve(2) for a file, and reports whether the next
// file is to be tried: this one is missing, or may not be run. The latter is the
// better error to report.
//
//go:nosplit
//go:norace
func (f *Failure) Next(errno syscall.Errno, file uintptr) bool {
	next := false
	switch errno {
	case syscall.ENOENT, syscall.ENOTDIR, syscall.ESTALE, syscall.ENODEV, syscall.ETIMEDOUT:
		if next = true; f.Errno != 0 {
			return true
		}
	case syscall.EACCES:
		if next = true; f.Errno == syscall.EACCES {
			return true
		}
	}
	f.Errno, f.File = errno, file
	return next
}
