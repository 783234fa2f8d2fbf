package healthz

import (
	"errors"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"usher/healthz/socket"
)

// place is the name of a socket in the file system: a directory and a name in
// it. Another container on a shared volume may be able to write the directory,
// and usher is often root. So the directory is opened once, and later calls go
// through that descriptor. They only create and remove the name: a process that
// can put another file there can also remove that file.
type place struct {
	path     string
	dir      int // O_PATH
	name     string
	dev, ino uint64 // identify the socket; 0 if the name is not a socket's
}

// openPlace finds the directory of a socket's absolute path.
func openPlace(path string) (*place, error) {
	slash := strings.LastIndexByte(path, '/')
	dir, err := openDir(path[:slash])
	return &place{path: path, dir: dir, name: path[slash+1:]}, err
}

var errForeignLink = errors.New("the path has a symbolic link that belongs to another user")

// openDir opens a directory by its absolute path. It follows symbolic links
// that belong to root or to usher's own user, such as /var/run. Another user's
// link could lead anywhere.
func openDir(path string) (dir int, err error) {
	const flags = unix.O_PATH | unix.O_NOFOLLOW | unix.O_CLOEXEC
	dir, err = unix.Openat(unix.AT_FDCWD, "/", flags, 0)
	for links := 0; err == nil && path != ""; {
		var name string
		if name, path, _ = strings.Cut(path, "/"); name == "" {
			continue
		}
		from := dir
		if dir, err = unix.Openat(from, name, flags, 0); err == nil {
			var st unix.Stat_t
			if err = unix.Fstat(dir, &st); err == nil && st.Mode&unix.S_IFMT == unix.S_IFLNK {
				if links++; links > 40 { // the kernel's limit: path_resolution(7)
					err = unix.ELOOP
				} else if st.Uid != 0 && int(st.Uid) != unix.Geteuid() {
					err = errForeignLink
				}
				var target [unix.PathMax]byte
				n, _ := unix.Readlinkat(dir, "", target[:])
				path = string(target[:max(n, 0)]) + "/" + path
				unix.Close(dir)
				name = "."
				if target[0] == '/' {
					name = "/"
				}
				dir, _ = unix.Openat(from, name, flags, 0)
			}
		}
		unix.Close(from)
	}
	return dir, err
}

// listen creates the socket. Every user may connect to it, as to a port, so the
// mode has to be right when the name appears. bind(2) takes the mode from the
// process's umask, and looks the name up in its working directory. Both are
// changed for the moment, so no other goroutine may need them yet.
func (p *place) listen() (*socket.Listener, error) {
	name := p.path
	here, err := unix.Open(".", unix.O_PATH|unix.O_CLOEXEC, 0)
	if err == nil && unix.Fchdir(here) == nil { // otherwise there would be no way back
		if err = unix.Fchdir(p.dir); err != nil {
			return nil, err
		}
		name = "./" + p.name // a name that begins with @ would be abstract
	}
	umask := unix.Umask(0o111)
	l, err := socket.Listen(&unix.SockaddrUnix{Name: name})
	if umask >= 0 {
		unix.Umask(umask)
	}
	if back := unix.Fchdir(here); back != nil && name != p.path {
		err = back
	}
	unix.Close(here)
	if err != nil {
		if l != nil {
			l.Close()
		}
		return nil, err
	}
	p.dev, p.ino = p.look()
	return l, nil
}

// look returns the device and the inode of the socket that has the name now, or
// 0 if there is none.
func (p *place) look() (dev, ino uint64) {
	var st unix.Stat_t
	if unix.Fstatat(p.dir, p.name, &st, unix.AT_SYMLINK_NOFOLLOW) != nil || st.Mode&unix.S_IFMT != unix.S_IFSOCK {
		return 0, 0
	}
	return uint64(st.Dev), st.Ino
}

// remove removes the socket, unless another file has the name by now.
func (p *place) remove() {
	if dev, ino := p.look(); ino != 0 && dev == p.dev && ino == p.ino {
		_ = unix.Unlinkat(p.dir, p.name, 0)
	}
}

// removeStale removes a socket that no process listens at any more, such as a
// killed usher leaves on a volume. It connects through the socket's own
// descriptor, because the name could belong to another file by then.
func (p *place) removeStale() {
	p.dev, p.ino = p.look()
	file, _ := unix.Openat(p.dir, p.name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	fd, _ := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if unix.Connect(fd, &unix.SockaddrUnix{Name: "/proc/self/fd/" + strconv.Itoa(file)}) == unix.ECONNREFUSED {
		p.remove()
	}
	socket.CloseGuarded(fd)
	unix.Close(file)
}
