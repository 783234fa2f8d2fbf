package supervisor

import (
	"strings"
	"syscall"
	"unsafe"

	"usher/internal/file"

	"golang.org/x/sys/unix"
)

// disk is what an explainer looks at.
type disk struct {
	stat     func(path string) (fileInfo, syscall.Errno)
	readlink func(path string) string                      // "" if it is no symbolic link
	read     func(path string, b []byte, offset int64) int // how many bytes of b were filled; 0 if it can't be read
	noexec   func(path string) bool                        // its file system is mounted so
	pids     func() string                                 // the cgroup's limit of processes, "" without one
	limit    func(resource int) int                        // -1 for an infinite one
}

// fileInfo is what stat(2) says, as far as it matters.
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
		n, _, errno := syscall.Syscall6(unix.SYS_READLINKAT, uintptr(dir), uintptr(unsafe.Pointer(name)), uintptr(unsafe.Pointer(&b)), uintptr(len(b)), 0, 0)
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
