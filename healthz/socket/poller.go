package socket

import (
	"errors"
	"os"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Poller waits for many sockets on one goroutine. It is an epoll of its own,
// and the runtime's epoll waits for that one. So a waiting goroutine takes no
// thread, and a goroutine that serves many sockets is not switched for each of
// them. All methods but Close belong to one goroutine.
type Poller struct {
	file   *os.File
	raw    syscall.RawConn
	fd     int
	until  time.Time // the deadline that the runtime knows
	closed atomic.Bool
	events [64]unix.EpollEvent
	n      int
	err    error
	look   func(uintptr) bool
}

// NewPoller returns a poller without sockets.
func NewPoller() (*Poller, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	_ = unix.SetNonblock(fd, true) // tells os.NewFile that the runtime can wait for it
	p := &Poller{file: os.NewFile(uintptr(fd), ""), fd: fd}
	p.look = func(uintptr) bool {
		p.n, p.err = unix.EpollWait(p.fd, p.events[:], 0)
		return p.n > 0 || p.err != nil && p.err != unix.EINTR
	}
	if err = p.file.SetDeadline(time.Time{}); err == nil { // fails if the runtime's epoll has refused it
		p.raw, err = p.file.SyscallConn()
	}
	if err != nil {
		p.file.Close()
		return nil, plain(err)
	}
	return p, nil
}

// Watch sets the events of a socket to wait for, and the id that comes with
// them. known is the caller's variable: whether the poller knows the socket.
// Without events, the poller forgets the socket; otherwise it reports errors
// and hang-ups, too.
//
// Forget a socket before closing it. A forked child of usher that has not
// called execve(2) yet still holds the socket, and with it the epoll entry.
func (p *Poller) Watch(fd int, id int32, events uint32, known *bool) error {
	op := unix.EPOLL_CTL_ADD
	switch {
	case p.closed.Load():
		return os.ErrClosed // p.fd may be another file's descriptor by now
	case events == 0 && !*known:
		return nil
	case events == 0:
		op = unix.EPOLL_CTL_DEL
	case *known:
		op = unix.EPOLL_CTL_MOD
	}
	*known = events != 0
	return unix.EpollCtl(p.fd, op, fd, &unix.EpollEvent{Events: events, Fd: id})
}

// Wait returns some of the present events. If there are none, it waits for one,
// until the given time; the zero time is never. After Close the error is
// os.ErrClosed, and the poller's descriptor is gone.
func (p *Poller) Wait(until time.Time) ([]unix.EpollEvent, error) {
	if p.n = 0; !p.closed.Load() && p.look(0) { // under load, a wait would take longer than serving the events
		return p.events[:max(p.n, 0)], p.err
	}
	if !until.Equal(p.until) {
		p.until = until
		p.file.SetReadDeadline(until)
	}
	if p.closed.Load() { // checked after setting the deadline, because Close sets one that has passed
		p.file.Close()
		return nil, os.ErrClosed
	}
	err := p.raw.Read(p.look)
	switch {
	case p.closed.Load():
		p.file.Close()
		return nil, os.ErrClosed
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, nil
	case err != nil:
		return nil, err
	}
	return p.events[:max(p.n, 0)], p.err
}

// Close makes Wait return. Any goroutine may call it, any number of times.
func (p *Poller) Close() {
	p.closed.Store(true)
	p.file.SetReadDeadline(time.Unix(1, 0))
}

// Receive is recv(2) on a non-blocking socket. 0 bytes mean that the peer sends
// no more.
func Receive(fd int, b []byte) (int, error) { return transfer(unix.SYS_RECVFROM, fd, b) }

// Send is send(2) on a non-blocking socket. It never raises SIGPIPE.
func Send(fd int, b []byte) (int, error) { return transfer(unix.SYS_SENDTO, fd, b) }

// transfer makes a system call that never blocks. So it does not announce the
// call to the scheduler, as unix.Syscall does.
func transfer(call uintptr, fd int, b []byte) (int, error) {
	for {
		n, _, errno := unix.RawSyscall6(call, uintptr(fd),
			uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)), unix.MSG_NOSIGNAL, 0, 0)
		switch errno {
		case 0:
			return int(n), nil
		case unix.EINTR:
		default:
			return 0, errno
		}
	}
}

// CloseWrite tells the peer that no more data will come.
func CloseWrite(fd int) error { return unix.Shutdown(fd, unix.SHUT_WR) }
