package explain

import (
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"

	"usher/supervisor/spawn"
)

// fakeFile is a file of a fakeDisk. If link names no other file, it is a dangling
// symbolic link.
type fakeFile struct {
	content string
	mode    uint32 // 0 is an executable file
	uid     uint32
	link    string
	noexec  bool
}

const (
	fakeDir    = unix.S_IFDIR | 0o755
	fakeClosed = unix.S_IFDIR | 0o700
)

// fakeDisk is an image in which usher, as root, can see everything.
func fakeDisk(files map[string]fakeFile) *disk {
	return &disk{
		stat: func(path string) (fileInfo, syscall.Errno) {
			f, ok := files[path]
			for f.link != "" {
				f, ok = files[f.link]
			}
			if !ok {
				for file := filepath.Dir(path); file != "." && file != "/"; file = filepath.Dir(file) {
					if above, ok := files[file]; ok && above.mode&unix.S_IFMT != unix.S_IFDIR {
						return fileInfo{}, unix.ENOTDIR
					}
				}
				return fileInfo{}, unix.ENOENT
			}
			if f.mode == 0 {
				f.mode = 0o755
			}
			if f.mode&unix.S_IFMT == 0 {
				f.mode |= unix.S_IFREG
			}
			return fileInfo{f.mode, f.uid, f.uid}, 0
		},
		readlink: func(path string) string { return files[path].link },
		read: func(_ *spawn.Identity, path string, b []byte, offset int64) int {
			content := files[path].content
			if offset < 0 || offset > int64(len(content)) {
				return 0
			}
			return copy(b, content[offset:])
		},
		noexec: func(path string) bool { return files[path].noexec },
		pids:   func() string { return "20" },
		limit:  func(int) int { return 8 << 20 },
	}
}
