package entry

import (
	"unsafe"

	"usher/internal/execvp"
)

// The code of this file runs without a Go runtime (early.go). It allocates
// nothing, calls nothing that allocates, and cannot panic. All the memory that
// it reads is on the first stack, which does not move.

// word is one word of what the kernel puts on the first stack: argc, argv and a
// zero, envp and a zero (execve(2)).
type word uintptr

func (w *word) at(i int) *word {
	return (*word)(unsafe.Add(unsafe.Pointer(w), i*int(unsafe.Sizeof(*w))))
}

func (w *word) text() text { return *(*text)(unsafe.Pointer(w)) }

// text is a C string.
type text struct{ first *byte }

func (t text) at(i int) byte { return *(*byte)(unsafe.Add(unsafe.Pointer(t.first), i)) }

func (t text) from(i int) text { return text{(*byte)(unsafe.Add(unsafe.Pointer(t.first), i))} }

// string shares the memory of t.
func (t text) string() string {
	n := 0
	for t.at(n) != 0 {
		n++
	}
	s := struct { // unsafe.String has a check that may panic
		first *byte
		n     int
	}{t.first, n}
	return *(*string)(unsafe.Pointer(&s))
}

func (t text) begins(prefix string) bool {
	for i := range len(prefix) {
		if t.at(i) != prefix[i] {
			return false
		}
	}
	return true
}

// base returns what follows the last slash, or all of t if there is no slash.
func (t text) base() (base text, slash bool) {
	base = t
	for i := 0; t.at(i) != 0; i++ {
		if t.at(i) == '/' {
			base, slash = t.from(i+1), true
		}
	}
	return base, slash
}

// otherInits are the names of other inits, by which usher may be called
// (cmd/usher/personalities.go). The empty one matches a path that ends with a
// slash.
var otherInits = [...]string{
	"tini\x00", "tini-static\x00", "docker-init\x00", "dumb-init\x00", "catatonit\x00", "podman-init\x00", "\x00",
}

func (t text) isOther() bool {
	for i := range otherInits {
		if t.begins(otherInits[i]) {
			return true
		}
	}
	return false
}

// command is the app's, as the command line gives it.
type command struct {
	argv, envp *word  // as execve(2) takes them
	hasSlash   bool   // the first word is a path: PATH is not searched
	path       string // the directories to search
}

// read parses the plainest of command lines, `usher [--] command args...`. It
// fails, and main parses the line, if usher has the name of another init, or if
// a variable of the environment is for usher or has usher's pid in it. A name
// that only looks like another init's does no harm: main parses the line again.
func (c *command) read(argc *word) bool {
	n := int(*argc)
	argv, envp := argc.at(1), argc.at(n+2)
	if n < 2 {
		return false
	}
	if name, _ := argv.text().base(); name.isOther() || argv.text().begins("-") {
		return false
	}
	argv = argv.at(1)
	if argv.text().begins("--\x00") {
		argv = argv.at(1)
	} else if argv.text().begins("-") {
		return false
	}
	if *argv == 0 || argv.text().begins("\x00") {
		return false
	}
	path := execvp.DefaultPath
	for e, set := envp, false; *e != 0; e = e.at(1) {
		entry := e.text()
		switch {
		case entry.begins("USHER_"), entry.begins("NOTIFY_SOCKET="),
			entry.begins("LISTEN_PID="), entry.begins("WATCHDOG_PID="):
			return false
		case !set && entry.begins("PATH="): // getenv(3) takes the first
			path, set = entry.from(len("PATH=")).string(), true
		}
	}
	c.argv, c.envp, c.path = argv, envp, path
	_, c.hasSlash = argv.text().base()
	return true
}

// file is a path with its NUL byte, at most as long as the kernel accepts.
type file struct {
	bytes [4096]byte // PATH_MAX
	n     int
}

// add appends s. What does not fit is only counted in n.
func (f *file) add(s string) {
	for i := range len(s) {
		if uint(f.n) < uint(len(f.bytes)) {
			f.bytes[f.n] = s[i]
		}
		f.n++
	}
}

// candidate puts the path of the command in the first of the directories into
// f, and returns the other directories. It is not ok if the path is too long.
func (c *command) candidate(directories string, f *file) (others string, more, ok bool) {
	dir, others, more := execvp.Cut(directories)
	f.n = 0
	f.add(dir)
	f.add("/")
	f.add(c.argv.text().string())
	f.add("\x00")
	return others, more, f.n <= len(f.bytes)
}
