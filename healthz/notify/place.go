package notify

import (
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// Where says who has to reach a socket.
type Where struct {
	// EveryUser is set if the app may run as another user than usher's own.
	// Root's sockets are for every user anyway: an app that is root may become
	// another (gosu).
	EveryUser bool
	// OtherNetwork is set if the app may be in another network namespace, from
	// which an abstract name can't be reached.
	OtherNetwork bool
}

// place is the name of a socket.
type place struct {
	name     string // a path, or an abstract name, which begins with @
	dev, ino uint64 // identify the file with that path
}

// bind gives a socket a name. An abstract name is known in the whole network
// namespace, which is the pod's: each container of the pod could fill the
// queue. So bind prefers a path in the container's own file system, if there is
// a directory in which no other user can remove it.
//
// A path's mode has to be right when its name appears, because a later call by
// name could change another file. bind(2) takes the mode from the umask of the
// whole process. So no other goroutine may create files yet.
func (p *place) bind(fd int, w Where) error {
	// /dev/shm is the pod's as well, but is writable even if the root is read-only.
	dirs := []string{"/run", "/tmp", "/dev/shm"}
	if !w.OtherNetwork {
		dirs = dirs[:2]
	}
	mask := 0o177
	if w.EveryUser || unix.Geteuid() == 0 {
		mask = 0o111
	}
	mask = unix.Umask(mask)
	err := p.bindIn(dirs, fd)
	unix.Umask(mask)
	return err
}

func (p *place) bindIn(dirs []string, fd int) error {
	name := "usher-notify-" + strconv.Itoa(unix.Getpid())
	// Another usher in this network namespace, or on a shared volume, may have the
	// same pid in a PID namespace of its own.
	unique := name + "-" + strconv.FormatInt(time.Now().UnixNano(), 36)
	for _, dir := range dirs {
		if !own(dir) {
			continue
		}
		for _, path := range []string{dir + "/" + name, dir + "/" + unique} {
			if p.bindPath(fd, path) == nil {
				return nil
			}
		}
	}
	*p = place{name: "@" + unique}
	return unix.Bind(fd, &unix.SockaddrUnix{Name: p.name})
}

// own reports whether only root and usher's own user can replace their files in
// a directory.
func own(dir string) bool {
	var st unix.Stat_t
	return unix.Stat(dir, &st) == nil && (st.Uid == 0 || int(st.Uid) == unix.Geteuid()) &&
		(st.Mode&0o022 == 0 || st.Mode&unix.S_ISVTX != 0) && st.Mode&0o001 != 0
}

// bindPath gives a socket a path.
func (p *place) bindPath(fd int, path string) error {
	sa := &unix.SockaddrUnix{Name: path}
	err := unix.Bind(fd, sa)
	if err == unix.EADDRINUSE && stale(sa) {
		_ = unix.Unlink(path)
		err = unix.Bind(fd, sa)
	}
	if err == nil {
		p.name = path
		p.dev, p.ino = look(path)
	}
	return err
}

// stale reports whether a path is a socket that a killed usher has left. A very
// young socket may have no listener yet: bind(2) makes the name first.
func stale(sa *unix.SockaddrUnix) bool {
	var st unix.Stat_t
	if unix.Lstat(sa.Name, &st) != nil || st.Mode&unix.S_IFMT != unix.S_IFSOCK ||
		int(st.Uid) != unix.Geteuid() || time.Now().Unix() <= int64(st.Ctim.Sec)+1 {
		return false
	}
	fd, _ := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	err := unix.Connect(fd, sa)
	unix.Close(fd)
	return err == unix.ECONNREFUSED
}

// remove removes the path, if it is still this socket's.
func (p *place) remove() {
	if dev, ino := look(p.name); p.ino != 0 && ino == p.ino && dev == p.dev {
		_ = unix.Unlink(p.name)
	}
}

// look returns the device and the inode of the file with that path, or 0 if
// there is none.
func look(path string) (dev, ino uint64) {
	var st unix.Stat_t
	if unix.Lstat(path, &st) != nil {
		return 0, 0
	}
	return uint64(st.Dev), st.Ino
}
