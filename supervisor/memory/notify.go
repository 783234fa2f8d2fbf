package memory

import "golang.org/x/sys/unix"

// Notify makes the kernel send sig to this process, whose pid is given, when
// Counts may have changed. It returns a descriptor for Moved, or -1 if the
// kernel reports no changes; only version 2 reports them to every process. No
// thread is needed. Until Moved is called, no further signal is sent. So a
// caller that looks rarely is woken rarely, even if the limit is reached
// thousands of times a second.
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
	// fcntl(2). The same event is queued once (inotify(7)). Without F_SETSIG, the
	// kernel would send SIGIO, which is for the app.
	for _, c := range [...][2]int{
		{unix.F_SETOWN, pid}, {unix.F_SETSIG, int(sig)}, {unix.F_SETFL, unix.O_NONBLOCK | unix.O_ASYNC},
	} {
		if _, err := unix.FcntlInt(uintptr(fd), c[0], c[1]); err != nil {
			unix.Close(fd)
			return -1
		}
	}
	return fd
}

// Moved reports whether there was a change since the last call.
func Moved(fd int) bool {
	var b [256]byte // room for one event: the same event is queued once
	n, _ := unix.Read(fd, b[:])
	return n > 0
}
