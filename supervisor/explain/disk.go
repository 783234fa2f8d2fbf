package explain

import (
	"strings"
	"syscall"
	"unsafe"

	"usher/internal/file"

	"golang.org/x/sys/unix"
)

// disk is what an explainer sees of the system.
type disk struct {
	stat     func(path string) (fileInfo, syscall.Errno)
	readlink func(path string) string                      // "" if the file is no symbolic link
	read     func(path string, b []byte, offset int64) int // as file.ReadAt
	noexec   func(path string) bool                        // whether the file system is mounted noexec
	pids     func() string                                 // the cgroup's limit of processes; "" if there is none
	limit    func(resource int) int                        // the soft limit (getrlimit(2)); -1 if it is infinite
}

// fileInfo is the part of stat(2) that an explainer needs.
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
	read: file.ReadAt,
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
