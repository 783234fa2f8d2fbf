package memory

import "golang.org/x/sys/unix"

// Notify has the kernel send sig to process pid, this one, when Counts may have moved, and returns the descriptor for Moved; -1 where it
// does not do so: only version 2 tells everybody. It takes no thread, and while an earlier piece of news has not been fetched with Moved,
// there is no signal for the next: one who looks rarely is woken rarely, at a limit that is reached thousands of times a second.
func (c *Cgroup) Notify(pid int, sig unix.Signal) int {
	if c == nil || !c.v2 {
		return -1
	}
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC)
	if err != nil {
		return -1
	}
	if _, err := unix.InotifyAddWatch(fd, c.dir+"/memory.events", unix.IN_MODIFY); err != nil {
		unix.Close(fd)
		return -1
	}
	// fcntl(2); the same event is queued once (inotify(7)). Without F_SETSIG it would be SIGIO, which is the app's.
	for _, c := range [...][2]int{{unix.F_SETOWN, pid}, {unix.F_SETSIG, int(sig)}, {unix.F_SETFL, unix.O_NONBLOCK | unix.O_ASYNC}} {
		if _, err := unix.FcntlInt(uintptr(fd), c[0], c[1]); err != nil {
			unix.Close(fd)
			return -1
		}
	}
	return fd
}

// Moved reports whether there is news since it was last asked.
func Moved(fd int) bool {
	var b [256]byte // the same event is there once
	n, _ := unix.Read(fd, b[:])
	return n > 0
}
