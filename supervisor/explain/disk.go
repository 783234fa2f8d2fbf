package explain

import (
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"usher/internal/file"
	"usher/supervisor/spawn"
)

// disk is what an inquiry sees of the system.
type disk struct {
	stat     func(path string) (fileInfo, syscall.Errno)
	readlink func(path string) string // "" if the file is no symbolic link
	noexec   func(path string) bool   // whether the file system is mounted noexec
	pids     func() string            // the cgroup's limit of processes; "" if there is none
	limit    func(resource int) int   // the soft limit (getrlimit(2)); -1 if it is infinite
	// read returns the number of bytes read for that user.
	read func(user *spawn.Identity, path string, b []byte, offset int64) int
}

// fileInfo is the part of stat(2) that an inquiry needs.
type fileInfo struct {
	mode, uid, gid uint32
}

var realDisk = disk{
	stat: func(path string) (fileInfo, syscall.Errno) {
		var st unix.Stat_t
		errno, _ := unix.Stat(path, &st).(syscall.Errno)
		return fileInfo{st.Mode, st.Uid, st.Gid}, errno
	},
	readlink: func(path string) string {
		var b [unix.PathMax]byte
		name, err := syscall.BytePtrFromString(path)
		if err != nil {
			return ""
		}
		dir := unix.AT_FDCWD
		n, _, errno := syscall.Syscall6(unix.SYS_READLINKAT, uintptr(dir), uintptr(unsafe.Pointer(name)),
			uintptr(unsafe.Pointer(&b)), uintptr(len(b)), 0, 0)
		if errno != 0 {
			return ""
		}
		return string(b[:n])
	},
	read: readFor,
	noexec: func(path string) bool {
		const noexec = 8 // ST_NOEXEC, statfs(2)
		var st unix.Statfs_t
		return unix.Statfs(path, &st) == nil && st.Flags&noexec != 0
	},
	pids: func() string {
		for _, path := range []string{"/sys/fs/cgroup/pids.max", "/sys/fs/cgroup/pids/pids.max"} {
			var b [20]byte
			n, _, _ := strings.Cut(string(b[:file.ReadAt(path, b[:], 0)]), "\n")
			if n != "" && n != "max" {
				return n
			}
		}
		return ""
	},
	limit: func(resource int) int {
		var l unix.Rlimit
		if unix.Getrlimit(resource, &l) != nil || l.Cur > 1<<31-1 {
			return -1
		}
		return int(l.Cur)
	},
}

// readFor reads a file that the user could read or run. It checks that because
// it runs as root, and the app may have given the name to another file since.
func readFor(user *spawn.Identity, path string, b []byte, offset int64) int {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		return 0
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if unix.Fstat(fd, &st) != nil || st.Mode&unix.S_IFMT != unix.S_IFREG {
		return 0
	}
	info := fileInfo{st.Mode, st.Uid, st.Gid}
	if user.UID != 0 && !may(user, mayRead, info) && !may(user, mayRun, info) {
		return 0
	}
	n, _ := unix.Pread(fd, b, offset)
	return max(n, 0)
}
