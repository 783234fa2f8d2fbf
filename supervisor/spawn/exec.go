package spawn

import (
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"usher/internal/execvp"
	"usher/signals"
)

// The Go runtime's own preparations for a fork, which block all signals. Package
// syscall uses them in the same way, and so does gvisor. The counterpart for the
// child, runtime_AfterForkInChild, is of no use here: it looks at the thread of
// the parent's goroutine, and the parent goes on beside the child.
//
//go:linkname beforeFork syscall.runtime_BeforeFork
func beforeFork()

//go:linkname afterFork syscall.runtime_AfterFork
func afterFork()

// fork makes the child and returns its pid. The child shares usher's memory where
// that is possible, and has a copy elsewhere. Between beforeFork and afterFork
// nothing may allocate memory, grow the stack or run into a write barrier, as in
// syscall.forkAndExecInChild.
//
//go:norace
//go:nocheckptr
func (c *child) fork() (pid int, shared bool, errno syscall.Errno) {
	beforeFork()
	pid, errno = c.forkShared()
	if shared = errno == 0; !shared && (errno == unix.ENOSYS || errno == unix.EINVAL) {
		pid, errno = c.forkCopy()
	}
	afterFork()
	return pid, shared, errno
}

// forkCopy does what fork(2) does. It is slower than forkShared, but works
// everywhere; qemu-user can't share memory.
//
//go:noinline
//go:nosplit
//go:norace
//go:nocheckptr
func (c *child) forkCopy() (int, syscall.Errno) {
	flags, stack := uintptr(unix.SIGCHLD), uintptr(0)
	if runtime.GOARCH == "s390x" {
		flags, stack = stack, flags // clone(2): "the order of the first two arguments is reversed"
	}
	pid, _, errno := syscall.RawSyscall6(unix.SYS_CLONE, flags, stack, 0, 0, 0, 0)
	if errno != 0 || pid != 0 {
		return int(pid), errno
	}
	signals.Unhandle() // before any signal is unblocked
	c.exec()
	return 0, 0
}

// exec turns the forked child into the program, or reports a failure and exits.
//
//go:nosplit
//go:norace
//go:nocheckptr
func (c *child) exec() {
	pid, _, _ := syscall.RawSyscall6(unix.SYS_GETPID, 0, 0, 0, 0, 0, 0)
	if c.session {
		syscall.RawSyscall6(unix.SYS_SETSID, 0, 0, 0, 0, 0, 0)
		// Fails if stdin is no terminal, or the terminal of another session.
		syscall.RawSyscall6(unix.SYS_IOCTL, 0, unix.TIOCSCTTY, 0, 0, 0, 0)
	} else {
		syscall.RawSyscall6(unix.SYS_SETPGID, 0, 0, 0, 0, 0, 0)
	}
	if c.hasTTY {
		// The child is in the background. If SIGTTOU were not blocked, it would stop
		// the child (tcsetpgrp(3)).
		signals.SetMask(&c.all, nil)
		c.pgid = int32(pid)
		syscall.RawSyscall6(unix.SYS_IOCTL, c.tty, unix.TIOCSPGRP, uintptr(unsafe.Pointer(&c.pgid)), 0, 0, 0)
	}
	for fd := range c.stdio { // usher has no descriptors of its own from 0 to 2 (signals/entry)
		if c.stdio[fd] != uintptr(fd) {
			if _, _, errno := syscall.RawSyscall6(unix.SYS_DUP3, c.stdio[fd], uintptr(fd), 0, 0, 0, 0); errno != 0 {
				c.fail(failure{errno: uintptr(errno), step: StepStdio})
			}
		}
	}
	if c.private {
		c.closeOthers()
	}
	for i := range c.ownPIDs {
		decimal(c.ownPIDs[i], pid)
	}
	if c.noFile != nil {
		syscall.RawSyscall6(unix.SYS_PRLIMIT64, 0, unix.RLIMIT_NOFILE, uintptr(unsafe.Pointer(c.noFile)), 0, 0, 0)
	}
	for _, sig := range c.ignored {
		signals.Ignore(sig)
	}
	if failed := c.drop(); failed.errno != 0 {
		c.fail(failed)
	}
	if c.user != nil {
		// setuid has replaced guardMemory's 0 by fs.suid_dumpable, which often is
		// 2: core dumps for root.
		syscall.RawSyscall6(unix.SYS_PRCTL, unix.PR_SET_DUMPABLE, 0, 0, 0, 0, 0)
	}
	if c.noNew {
		if _, _, errno := syscall.RawSyscall6(unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0, 0); errno != 0 {
			c.fail(failure{errno: uintptr(errno), step: StepNoNewPrivs})
		}
	}
	if c.mortal { // after the changes of user that clear it (prctl(2))
		syscall.RawSyscall6(unix.SYS_PRCTL, unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0, 0)
	}
	signals.SetMask(&c.mask, nil)

	var search execvp.Failure
	for i := range c.files {
		_, _, errno := syscall.RawSyscall6(unix.SYS_EXECVE, uintptr(unsafe.Pointer(c.files[i])),
			uintptr(unsafe.Pointer(&c.argv[0])), uintptr(unsafe.Pointer(&c.env[0])), 0, 0, 0)
		if search.Next(errno, uintptr(i)) {
			continue
		}
		if errno == unix.ENOEXEC && c.isText(c.files[i]) {
			// Stored as a number, to avoid a write barrier. c.files keeps the pointer alive.
			*(*uintptr)(unsafe.Pointer(&c.shell[1])) = uintptr(unsafe.Pointer(c.files[i]))
			_, _, errno = syscall.RawSyscall6(unix.SYS_EXECVE, uintptr(unsafe.Pointer(c.shell[0])),
				uintptr(unsafe.Pointer(&c.shell[0])), uintptr(unsafe.Pointer(&c.env[0])), 0, 0, 0)
			c.fail(failure{errno: uintptr(errno), step: stepShell, file: uintptr(i)})
		}
		break
	}
	c.fail(failure{errno: uintptr(search.Errno), file: search.File})
}

// closeOthers closes every descriptor but the first three and the pipe's. It does
// not leave that to execve: where execve fails, another process of the same user
// could take them in the child's last moment, when no memory guards it any more
// (pidfd_getfd(2), on kernels that overlook that).
//
//go:nosplit
//go:norace
//go:nocheckptr
func (c *child) closeOthers() {
	report := uintptr(c.reportW)
	var errno syscall.Errno
	if report > 3 {
		_, _, errno = syscall.RawSyscall6(unix.SYS_CLOSE_RANGE, 3, report-1, 0, 0, 0, 0)
	}
	if errno == 0 {
		_, _, errno = syscall.RawSyscall6(unix.SYS_CLOSE_RANGE, report+1, 1<<32-1, 0, 0, 0, 0)
	}
	for fd := uintptr(3); errno != 0 && fd < 1024; fd++ { // before Linux 5.9
		if fd != report {
			syscall.RawSyscall6(unix.SYS_CLOSE, fd, 0, 0, 0, 0, 0)
		}
	}
}

// isText distinguishes a script without #! from a program for another machine,
// as bash does: a script has no NUL byte in its first line. Unlike execvp(3),
// it returns false for a script whose interpreter is no program, because that
// script was not written for /bin/sh.
//
//go:nosplit
//go:norace
//go:nocheckptr
func (c *child) isText(file *byte) bool {
	at := unix.AT_FDCWD
	fd, _, errno := syscall.RawSyscall6(unix.SYS_OPENAT, uintptr(at), uintptr(unsafe.Pointer(file)),
		unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0, 0, 0)
	if errno != 0 {
		return true // it may be run but not read; the shell will report that
	}
	n, _, errno := syscall.RawSyscall6(unix.SYS_READ, fd, uintptr(unsafe.Pointer(&c.head)),
		unsafe.Sizeof(c.head), 0, 0, 0)
	if errno != 0 {
		n = 0
	}
	if n >= 4 && c.head[0] == 0x7f && c.head[1] == 'E' && c.head[2] == 'L' && c.head[3] == 'F' {
		return false
	}
	if n >= 2 && c.head[0] == '#' && c.head[1] == '!' {
		i := uintptr(2)
		for i < n && (c.head[i] == ' ' || c.head[i] == '\t') {
			i++
		}
		return i == n || c.head[i] == '\n' || c.head[i] == 0 // no interpreter is named
	}
	for i := uintptr(0); i < n && c.head[i] != '\n'; i++ {
		if c.head[i] == 0 {
			return false
		}
	}
	return true
}

// drop gives up usher's user and groups. The user comes last, because it takes
// privileges to change the groups.
//
//go:nosplit
//go:norace
//go:nocheckptr
func (c *child) drop() failure {
	if c.user == nil {
		return failure{}
	}
	var groups unsafe.Pointer
	if len(c.user.Groups) > 0 {
		groups = unsafe.Pointer(&c.user.Groups[0])
	}
	_, _, errno := syscall.RawSyscall6(sysSetgroups, uintptr(len(c.user.Groups)), uintptr(groups), 0, 0, 0, 0)
	if errno != 0 && !c.user.sameGroups {
		return failure{errno: uintptr(errno), step: StepSetgroups}
	}
	if _, _, errno := syscall.RawSyscall6(sysSetgid, uintptr(c.user.GID), 0, 0, 0, 0, 0); errno != 0 {
		return failure{errno: uintptr(errno), step: StepSetgid}
	}
	if _, _, errno := syscall.RawSyscall6(sysSetuid, uintptr(c.user.UID), 0, 0, 0, 0, 0); errno != 0 {
		return failure{errno: uintptr(errno), step: StepSetuid}
	}
	return failure{}
}

// decimal writes n in decimal digits and a NUL to b, which must be large enough.
//
//go:nosplit
//go:norace
func decimal(b []byte, n uintptr) {
	digits := 1
	for rest := n / 10; rest > 0; rest /= 10 {
		digits++
	}
	b[digits] = 0
	for digits > 0 {
		digits--
		b[digits] = '0' + byte(n%10)
		n /= 10
	}
}

// fail reports a failure to the parent and ends the child.
//
//go:nosplit
//go:norace
//go:nocheckptr
func (c *child) fail(failed failure) {
	c.report = failed
	syscall.RawSyscall6(unix.SYS_WRITE, uintptr(c.reportW), uintptr(unsafe.Pointer(&c.report)),
		unsafe.Sizeof(c.report), 0, 0, 0)
	for {
		syscall.RawSyscall6(unix.SYS_EXIT_GROUP, 127, 0, 0, 0, 0, 0)
	}
}
