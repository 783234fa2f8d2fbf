package lastword

import (
	"strings"

	"golang.org/x/sys/unix"

	"usher/signals/entry"
)

// How usher opens the log. A user who may write to a directory decides what a
// name in it means: a symbolic link, for example, to another user's file, which
// root could follow and the app could not. So root examines every directory of
// the path.

// openFlags let open(2) return at once: a FIFO may have no reader.
const openFlags = unix.O_CLOEXEC | unix.O_NONBLOCK | unix.O_NOCTTY

// Failure is usher's own reason why a log can't be written, not the kernel's.
type Failure string

func (r Failure) Error() string { return string(r) }

const (
	errNotRegular = Failure("not a regular file")
	errLink       = Failure("a symbolic link that others than root could have made")
	errName       = Failure("it has several names, of which others than root could have made this one")
	errApp        = Failure("the app's user may not, and root must not where others can write to the directory")
)

// open opens the log for writing, and for reading if that is allowed. The
// caller passes the descriptor to l.close.
func (l *Log) open(flags int) (fd int, err error) {
	switch {
	case l.kept >= 0:
		return l.kept, nil
	case l.app != nil:
		return l.openFor(l.app, flags)
	case l.create && unix.Geteuid() == 0:
		// The app may still become another user. Kubelet's default path is in a
		// directory of root's.
		return raised(func() (int, error) { return l.walk(flags) })
	}
	return raised(func() (int, error) { return openAt(unix.AT_FDCWD, l.path, flags) })
}

// raised calls open. If the kernel refuses access, raised calls it again with
// the capabilities that usher was started with.
func raised(open func() (int, error)) (int, error) {
	fd, err := open()
	if err == unix.EACCES {
		entry.Raise()
		fd, err = open()
		entry.Restore()
	}
	return fd, err
}

func (l *Log) close(fd int) {
	if fd != l.kept {
		unix.Close(fd)
	}
}

// openFor opens the log with the app's rights. If these do not suffice, usher
// uses its own, but only through directories in which no other user can replace
// anything. usher keeps that descriptor from before the app runs, because it
// may drop the right to open the file later.
func (l *Log) openFor(app *App, flags int) (fd int, err error) {
	asApp := func() { fd, err = openAt(unix.AT_FDCWD, l.path, flags|unix.O_NOFOLLOW) }
	if !l.alone && app.as(l.self, asApp) && err != unix.EACCES && err != unix.ELOOP {
		return fd, err
	}
	if fd, err = raised(func() (int, error) { return l.walk(flags) }); err == nil {
		l.kept = fd
	}
	return fd, err
}

// openAt opens for reading and writing, or only for writing if reading is
// refused.
//
//go:noinline
func openAt(dir int, name string, flags int) (int, error) {
	fd, err := unix.Openat(dir, name, flags|unix.O_RDWR, 0o644)
	if err == unix.EACCES {
		fd, err = unix.Openat(dir, name, flags|unix.O_WRONLY, 0o644)
	}
	return fd, err
}

// walk opens the log as root, one name of the path after the other. It follows
// only symbolic links that no other user could have made.
func (l *Log) walk(flags int) (fd int, err error) {
	path, links, sticky := l.path, 0, false
	dir, err := openDir(unix.AT_FDCWD, ".")
	for fresh := true; err == nil; {
		name, rest, more := strings.Cut(path, "/")
		if more && name == "" {
			if path = rest; fresh {
				dir, err = enter(dir, "/")
			}
			fresh = false
			continue
		}
		fresh = false
		var st unix.Stat_t
		known := unix.Fstat(dir, &st) == nil && (st.Uid == 0 || l.app != nil && st.Uid != l.app.UID)
		// Where there is an access control list, the group's bits are the upper limit
		// for all that it names (acl(5)).
		trusted := known && st.Mode&0o022 == 0
		var link [1024]byte
		n, _ := unix.Readlinkat(dir, name, link[:])
		switch {
		case n > 0 && (!trusted || st.Uid != 0 || n == len(link) || links == 40): // the kernel follows 40, too
			err = errLink
		case l.app != nil && (sticky && !known || !trusted && (rest == "" || !known || st.Mode&unix.S_ISVTX == 0)):
			err = errApp
		case n > 0:
			links++
			path, fresh = string(link[:n])+"/"+rest, true
			continue
		case rest != "":
			sticky = !trusted // in /tmp no user can replace another user's directory
			dir, err = enter(dir, name)
			path = rest
			continue
		default:
			fd, err = openAt(dir, name, flags|unix.O_NOFOLLOW)
			// Another name, a hard link, may be a file of root's.
			if err == nil && (!trusted || st.Uid != 0) && (unix.Fstat(fd, &st) != nil || st.Nlink > 1) {
				unix.Close(fd)
				err = errName
			}
		}
		unix.Close(dir)
		return fd, err
	}
	return -1, err
}

// enter opens a directory in dir, and closes dir.
func enter(dir int, name string) (int, error) {
	next, err := openDir(dir, name)
	unix.Close(dir)
	return next, err
}

//go:noinline
func openDir(dir int, name string) (int, error) {
	return unix.Openat(dir, name, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
}
