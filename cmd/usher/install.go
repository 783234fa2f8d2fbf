package main

import (
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// self is usher's own file, whatever its name.
const self = "/proc/self/exe"

// install copies usher to path, which may be a directory, and also usher-check
// if there is one beside usher. So an init container from usher's image fills a
// volume, and the app's image stays unchanged.
func install(path string) error {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err == nil && st.Mode&unix.S_IFMT == unix.S_IFDIR && !strings.HasSuffix(path, "/") {
		path += "/"
	}
	dir := path[:strings.LastIndexByte(path, '/')+1]
	if path == dir {
		path += "usher"
	}
	if err := copyProgram(self, path); err != nil {
		return fmt.Errorf("cannot install usher as %q: %w", path, err)
	}
	check := usherCheck()
	if unix.Stat(check, &st) != nil {
		return nil
	}
	if err := copyProgram(check, dir+"usher-check"); err != nil {
		return fmt.Errorf("cannot install usher-check in %q: %w", dir, err)
	}
	return nil
}

// copyProgram writes a new file and renames it to its name when it is complete:
// the kernel refuses writes to a running program (ETXTBSY), and half a program
// must not be run.
func copyProgram(from, to string) error {
	in, err := unix.Open(from, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(in)
	part := to + ".part"
	_ = unix.Unlink(part) // a killed install may have left it
	out, err := unix.Open(part, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_CLOEXEC, 0o755)
	if err != nil {
		return err
	}
	for n := 1; n > 0 && err == nil; {
		n, err = unix.Sendfile(out, in, nil, 1<<30)
	}
	if err == nil {
		err = unix.Fchmod(out, 0o755) // whatever the umask
	}
	if closing := unix.Close(out); err == nil {
		err = closing
	}
	if err == nil {
		err = unix.Rename(part, to)
	}
	if err != nil {
		_ = unix.Unlink(part)
	}
	return err
}
