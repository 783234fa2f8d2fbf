package entry

import (
	"unsafe"

	"usher/internal/execvp"
)

// What is here runs without a Go runtime (early.go): it allocates nothing, calls nothing that does, and cannot panic. All it reads is on the
// first stack, which stays where it is.

// word is one of those that the kernel puts on the first stack: argc, argv and a zero, envp and a zero (execve(2)).
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

// base is what follows the last slash, or everything.
func (t text) base() (base text, slash bool) {
	base = t
	for i := 0; t.at(i) != 0; i++ {
		if t.at(i) == '/' {
			base, slash = t.from(i+1), true
		}
	}
	return base, slash
}

// others are the names of other inits, by which usher may be called, and "", which is a name with a slash behind it: cmd/usher/personality.go.
var others = [...]string{"tini\x00", "tini-static\x00", "docker-init\x00", "dumb-init\x00", "catatonit\x00", "podman-init\x00", "\x00"}

func (t text) isOther() bool {
	for i := range others {
		if t.begins(others[i]) {
			return true
		}
	}
	return false
}

// command is what to start.
type command struct {
	argv, envp *word // as execve(2) takes them
	whole      bool  // the command says itself where it is
	path       string
}

// read understands the plainest of command lines, `usher [--] command args...`, by whatever name that is no other init's, in an environment that
// has nothing for usher, and nothing with usher's pid in it. That it is another is no mistake: main reads it again.
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
		case entry.begins("USHER_"), entry.begins("NOTIFY_SOCKET="), entry.begins("LISTEN_PID="), entry.begins("WATCHDOG_PID="):
			return false
		case !set && entry.begins("PATH="): // getenv(3) takes the first
			path, set = entry.from(len("PATH=")).string(), true
		}
	}
	c.argv, c.envp, c.path = argv, envp, path
	_, c.whole = argv.text().base()
	return true
}

// file is the path of a file, with its NUL, as long as the kernel takes them.
type file struct {
	bytes [4096]byte // PATH_MAX
	n     int
}

// add appends s, as far as there is room.
func (f *file) add(s string) {
	for i := range len(s) {
		if uint(f.n) < uint(len(f.bytes)) {
			f.bytes[f.n] = s[i]
		}
		f.n++
	}
}

// candidate puts what the command would be in the first of these directories into f. It returns the others. Not ok is that there is no room.
func (c *command) candidate(directories string, f *file) (others string, more, ok bool) {
	dir, others, more := execvp.Cut(directories)
	f.n = 0
	f.add(dir)
	f.add("/")
	f.add(c.argv.text().string())
	f.add("\x00")
	return others, more, f.n <= len(f.bytes)
}
