package supervisor

import (
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"usher/signals"
)

// child is a process with all that is needed between fork and exec, where nothing can be allocated.
type child struct {
	files     []*byte
	argv, env []*byte
	shell     []*byte // /bin/sh, room for a file of files, argv[1:]
	head      [scriptHead]byte
	tty       uintptr
	hasTTY    bool
	session   bool
	mortal    bool
	private   bool // no descriptor but the first three is handed on
	stdio     []uintptr
	mask, all signals.Set
	ignored   []signals.Signal
	noFile    *unix.Rlimit
	as        *identity
	noNew     bool     // privileges: PR_SET_NO_NEW_PRIVS
	ownPIDs   [][]byte // where the app's pid goes in the environment
	pgid      int32

	report  failure
	reportW int32  // where the child writes it
	stack   []byte // for a child that shares usher's memory
}

// failure is what a child reports: an error, what it was trying, and the index of the file for stepExec and stepShell.
type failure struct{ errno, step, file uintptr }

const (
	stepExec uintptr = iota
	stepShell
	stepSetgroups
	stepSetgid
	stepSetuid
	stepNoNewPrivs
	stepStdio
)

// dropError is a child that could not become what it was to run as: another user, above all.
type dropError struct {
	step  uintptr
	as    *identity
	errno syscall.Errno
}

func (e *dropError) Error() string {
	switch e.step {
	case stepNoNewPrivs:
		return "cannot set no_new_privs: " + e.errno.Error()
	case stepStdio:
		return "cannot pass on stdin, stdout and stderr: " + e.errno.Error()
	}
	what := [...]string{stepSetgroups: "setgroups", stepSetgid: "setgid", stepSetuid: "setuid"}[e.step]
	return fmt.Sprintf("cannot become uid %d, gid %d: %s: %v", e.as.uid, e.as.gid, what, e.errno)
}

func (e *dropError) Unwrap() error { return e.errno }

func newChild(p *process) (*child, error) {
	c := &child{noNew: p.noNewPrivs, session: p.session, mortal: p.mortal, mask: p.inherited.Mask, all: signals.All(), noFile: p.inherited.NoFile,
		hasTTY: p.tty >= 0, tty: uintptr(p.tty), private: p.stdio != nil, stack: make([]byte, stackSize)}
	for sig := signals.Signal(1); sig <= signals.RTMax; sig++ {
		if p.inherited.Ignored.Has(sig) {
			c.ignored = append(c.ignored, sig)
		}
	}
	var err error
	if c.argv, err = syscall.SlicePtrFromStrings(p.argv); err != nil {
		return nil, fmt.Errorf("cannot pass on an argument: %w", err)
	}
	if c.env, err = syscall.SlicePtrFromStrings(p.env); err != nil {
		return nil, fmt.Errorf("cannot pass on the environment: %w", err)
	}
	if c.files, err = syscall.SlicePtrFromStrings(p.files); err != nil {
		return nil, fmt.Errorf("cannot run %q: %w", p.argv[0], err)
	}
	c.files = c.files[:len(p.files)] // SlicePtrFromStrings ends it with nil
	c.shell, _ = syscall.SlicePtrFromStrings([]string{shell, ""})
	c.shell = append(c.shell[:2], c.argv[1:]...)
	if p.as != nil && !p.as.current() {
		c.as = p.as
	}
	for _, fd := range p.stdio {
		c.stdio = append(c.stdio, uintptr(fd))
	}
	if p.stdio != nil {
		return c, nil
	}
	// Sockets that were passed to usher are the app's (sd_listen_fds(3)), which takes them, and a watchdog (sd_watchdog_enabled(3)), only under
	// its own pid.
	own := strconv.Itoa(unix.Getpid())
	env := c.env[:0]
	for i, entry := range p.env {
		switch name, value, _ := strings.Cut(entry, "="); {
		case value == own && (name == "LISTEN_PID" || name == "WATCHDOG_PID"):
			b := make([]byte, len(name)+1+pidDigits+1)
			n := copy(b, entry[:len(name)+1])
			env = append(env, &b[0])
			c.ownPIDs = append(c.ownPIDs, b[n:])
		case name == "LISTEN_PIDFDID" && slices.Contains(p.env, "LISTEN_PID="+own):
			// It is usher's as well (systemd 260), and the app's is not known before the app is there.
		default:
			env = append(env, c.env[i])
		}
	}
	c.env = append(env, nil)
	if p.stderr > 0 {
		c.stdio = []uintptr{0, 1, uintptr(p.stderr)}
	}
	return c, nil
}

// shell runs scripts that have no #! line.
const shell = "/bin/sh"

// pidDigits is room for the largest pid (PID_MAX_LIMIT, 2^22; proc_sys_kernel(5)).
const pidDigits = 10

// The runtime's own preparations for a fork: all signals blocked (Go's syscall package; gvisor uses them in the same way). What it has for
// the child (runtime_AfterForkInChild) is not for one that runs beside the parent: it looks at the thread that the parent's goroutine is on.
//
//go:linkname beforeFork syscall.runtime_BeforeFork
func beforeFork()

//go:linkname afterFork syscall.runtime_AfterFork
func afterFork()

// fork makes the child and returns its pid. The child has usher's memory where that is possible, and a copy of it elsewhere. As in
// syscall.forkAndExecInChild: between beforeFork and afterFork nothing may allocate, grow the stack or meet a write barrier.
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

// forkCopy is fork(2): slower, but there is no system that can't do it (qemu-user can't do the other).
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
	signals.Unhandle() // before any is unblocked
	c.exec()
	return 0, 0
}

// exec turns the forked child into the app, or reports why not and exits.
//
//go:nosplit
//go:norace
//go:nocheckptr
func (c *child) exec() {
	pid, _, _ := syscall.RawSyscall6(unix.SYS_GETPID, 0, 0, 0, 0, 0, 0)
	if c.session {
		syscall.RawSyscall6(unix.SYS_SETSID, 0, 0, 0, 0, 0, 0)
		syscall.RawSyscall6(unix.SYS_IOCTL, 0, unix.TIOCSCTTY, 0, 0, 0, 0) // fails without a terminal, and for another session's
	} else {
		syscall.RawSyscall6(unix.SYS_SETPGID, 0, 0, 0, 0, 0, 0)
	}
	if c.hasTTY {
		// The child is in the background, so SIGTTOU would stop it if it were not blocked (tcsetpgrp(3)), and usher with it.
		signals.SetMask(&c.all, nil)
		c.pgid = int32(pid)
		syscall.RawSyscall6(unix.SYS_IOCTL, c.tty, unix.TIOCSPGRP, uintptr(unsafe.Pointer(&c.pgid)), 0, 0, 0)
	}
	for fd := range c.stdio { // descriptors of usher's own are none of these: 0 to 2 are never closed (signals/entry)
		if c.stdio[fd] != uintptr(fd) {
			if _, _, errno := syscall.RawSyscall6(unix.SYS_DUP3, c.stdio[fd], uintptr(fd), 0, 0, 0, 0); errno != 0 {
				c.fail(failure{errno: uintptr(errno), step: stepStdio})
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
	if c.as != nil { // setuid has made of guardMemory's 0 what fs.suid_dumpable says, often 2: core dumps for root
		syscall.RawSyscall6(unix.SYS_PRCTL, unix.PR_SET_DUMPABLE, 0, 0, 0, 0, 0)
	}
	if c.noNew {
		if _, _, errno := syscall.RawSyscall6(unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0, 0); errno != 0 {
			c.fail(failure{errno: uintptr(errno), step: stepNoNewPrivs})
		}
	}
	if c.mortal { // after what clears it (prctl(2))
		syscall.RawSyscall6(unix.SYS_PRCTL, unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0, 0)
	}
	signals.SetMask(&c.mask, nil)

	// execvp(3): go on where a file is not there or may not be run, and remember the latter.
	var failed failure
	for i := range c.files {
		_, _, errno := syscall.RawSyscall6(unix.SYS_EXECVE, uintptr(unsafe.Pointer(c.files[i])),
			uintptr(unsafe.Pointer(&c.argv[0])), uintptr(unsafe.Pointer(&c.env[0])), 0, 0, 0)
		switch errno {
		case unix.ENOENT, unix.ENOTDIR, unix.ESTALE, unix.ENODEV, unix.ETIMEDOUT:
			if failed.errno == 0 {
				failed = failure{errno: uintptr(errno), file: uintptr(i)}
			}
			continue
		case unix.EACCES:
			if failed.errno != uintptr(unix.EACCES) {
				failed = failure{errno: uintptr(errno), file: uintptr(i)}
			}
			continue
		}
		failed = failure{errno: uintptr(errno), file: uintptr(i)}
		if errno == unix.ENOEXEC && c.isText(c.files[i]) {
			*(*uintptr)(unsafe.Pointer(&c.shell[1])) = uintptr(unsafe.Pointer(c.files[i])) // without a write barrier: c.files has it as well
			_, _, errno = syscall.RawSyscall6(unix.SYS_EXECVE, uintptr(unsafe.Pointer(c.shell[0])),
				uintptr(unsafe.Pointer(&c.shell[0])), uintptr(unsafe.Pointer(&c.env[0])), 0, 0, 0)
			failed = failure{errno: uintptr(errno), step: stepShell, file: uintptr(i)}
		}
		break
	}
	c.fail(failed)
}

// closeOthers has the new program get no descriptor but the first three. They are closed here and now, but for the pipe's, not at execve: where there is
// none, another process of the same user could take them in the child's last moment, when it has no memory to be guarded any more
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

// isText tells a script without #! from a program for another machine, as bash does: no NUL byte in the first line. A script whose
// interpreter is no program is not left to a shell that it was not written for, although execvp would.
//
//go:nosplit
//go:norace
//go:nocheckptr
func (c *child) isText(file *byte) bool {
	at := unix.AT_FDCWD
	fd, _, errno := syscall.RawSyscall6(unix.SYS_OPENAT, uintptr(at), uintptr(unsafe.Pointer(file)), unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0, 0, 0)
	if errno != 0 {
		return true // it may be run but not be read: leave it to the shell to say so
	}
	n, _, errno := syscall.RawSyscall6(unix.SYS_READ, fd, uintptr(unsafe.Pointer(&c.head)), unsafe.Sizeof(c.head), 0, 0, 0)
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

// drop gives up usher's identity: groups first, while that is still allowed, and the user last.
//
//go:nosplit
//go:norace
//go:nocheckptr
func (c *child) drop() failure {
	if c.as == nil {
		return failure{}
	}
	var groups unsafe.Pointer
	if len(c.as.groups) > 0 {
		groups = unsafe.Pointer(&c.as.groups[0])
	}
	if _, _, errno := syscall.RawSyscall6(sysSetgroups, uintptr(len(c.as.groups)), uintptr(groups), 0, 0, 0, 0); errno != 0 && !c.as.sameGroups {
		return failure{errno: uintptr(errno), step: stepSetgroups}
	}
	if _, _, errno := syscall.RawSyscall6(sysSetgid, uintptr(c.as.gid), 0, 0, 0, 0, 0); errno != 0 {
		return failure{errno: uintptr(errno), step: stepSetgid}
	}
	if _, _, errno := syscall.RawSyscall6(sysSetuid, uintptr(c.as.uid), 0, 0, 0, 0, 0); errno != 0 {
		return failure{errno: uintptr(errno), step: stepSetuid}
	}
	return failure{}
}

// decimal writes n and a NUL to b, which has room for them.
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

// fail reports to the parent and ends the child.
//
//go:nosplit
//go:norace
//go:nocheckptr
func (c *child) fail(failed failure) {
	c.report = failed
	syscall.RawSyscall6(unix.SYS_WRITE, uintptr(c.reportW), uintptr(unsafe.Pointer(&c.report)), unsafe.Sizeof(c.report), 0, 0, 0)
	for {
		syscall.RawSyscall6(unix.SYS_EXIT_GROUP, 127, 0, 0, 0, 0, 0)
	}
}
