package notify

import (
	"os"
	"strconv"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"usher/signals/entry"
)

// Socket is what an app's NOTIFY_SOCKET names.
type Socket struct {
	file *os.File
	name string
	buf  [maxDatagram]byte
	oob  [32]uint64 // aligned
}

// maxDatagram is systemd's own bound (NOTIFY_BUFFER_MAX).
const maxDatagram = 4096

// Listen makes a socket with an abstract name, or, where that is not possible, one in /run or /tmp.
func Listen() (*Socket, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	s := &Socket{}
	if err = s.bind(fd); err == nil {
		err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_PASSCRED, 1)
	}
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	s.file = os.NewFile(uintptr(fd), "")
	return s, s.file.SetDeadline(time.Time{}) // epoll has not taken it: Receive could not wait
}

func (s *Socket) bind(fd int) error {
	own := strconv.Itoa(unix.Getpid())
	// Another usher of this network namespace may have the same pid in a PID namespace of its own.
	s.name = "@usher-notify-" + own + "-" + strconv.FormatInt(time.Now().UnixNano(), 36)
	err := unix.Bind(fd, &unix.SockaddrUnix{Name: s.name})
	for _, dir := range []string{"/run", "/tmp"} {
		if err == nil {
			break
		}
		s.name = dir + "/usher-notify-" + own
		_ = unix.Unlink(s.name) // of an usher that was killed
		if err = unix.Bind(fd, &unix.SockaddrUnix{Name: s.name}); err == nil {
			err = unix.Chmod(s.name, 0o666) // the sender's credentials decide
		}
	}
	return err
}

// Name is the value of NOTIFY_SOCKET: an abstract name begins with @.
func (s *Socket) Name() string { return s.name }

// Receive waits for a datagram, which is good until the next call, and says who has sent it. done closes descriptors that came with it,
// which is what the sender of BARRIER=1 waits for. A pid of 0 is somebody whom this PID namespace can't see.
//
// It is not unix.Recvmsg, which brings along all kinds of addresses: 25 kB.
func (s *Socket) Receive() (datagram []byte, sender unix.Ucred, done func(), err error) {
	raw, err := s.file.SyscallConn()
	if err != nil {
		return nil, sender, nil, err
	}
	iov := unix.Iovec{Base: &s.buf[0]}
	iov.SetLen(len(s.buf))
	var h unix.Msghdr
	n := 0
	waitErr := raw.Read(func(fd uintptr) bool {
		h = unix.Msghdr{Iov: &iov, Control: (*byte)(unsafe.Pointer(&s.oob))}
		h.SetIovlen(1)
		h.SetControllen(int(unsafe.Sizeof(s.oob)))
		var errno syscall.Errno
		for {
			var r uintptr
			if r, _, errno = unix.Syscall(unix.SYS_RECVMSG, fd, uintptr(unsafe.Pointer(&h)), unix.MSG_CMSG_CLOEXEC); errno != unix.EINTR {
				n = int(r)
				break
			}
		}
		if err = nil; errno != 0 {
			err = errno
		}
		return errno != unix.EAGAIN
	})
	if waitErr != nil {
		return nil, sender, nil, os.ErrClosed
	}
	if err != nil {
		return nil, sender, nil, err
	}
	sender, fds := control(unsafe.Slice((*byte)(unsafe.Pointer(&s.oob)), int(h.Controllen)))
	return s.buf[:n], sender, func() {
		for _, fd := range fds {
			unix.Close(int(fd))
		}
	}, nil
}

// control reads what came beside a datagram (cmsg(3)). b is aligned as a cmsghdr has to be.
func control(b []byte) (sender unix.Ucred, fds []int32) {
	for len(b) >= unix.SizeofCmsghdr {
		h := (*unix.Cmsghdr)(unsafe.Pointer(&b[0]))
		size := int(h.Len) - unix.CmsgLen(0)
		if size < 0 || int(h.Len) > len(b) || h.Level != unix.SOL_SOCKET {
			break
		}
		data := b[unix.CmsgLen(0):h.Len]
		switch h.Type {
		case unix.SCM_CREDENTIALS:
			if size >= unix.SizeofUcred {
				sender = *(*unix.Ucred)(unsafe.Pointer(&data[0]))
			}
		case unix.SCM_RIGHTS:
			for ; len(data) >= 4; data = data[4:] {
				fds = append(fds, *(*int32)(unsafe.Pointer(&data[0])))
			}
		}
		b = b[min(unix.CmsgSpace(size), len(b)):]
	}
	return sender, fds
}

// Close makes Receive return, and removes what there is of the socket.
func (s *Socket) Close() {
	if s.name[0] == '/' {
		_ = unix.Unlink(s.name)
	}
	s.file.Close()
}

// Send sends a datagram to the socket that a NOTIFY_SOCKET names. It does not wait for room.
func Send(name string, datagram []byte) error {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	to := &unix.SockaddrUnix{Name: name}
	if err = unix.Sendto(fd, datagram, unix.MSG_NOSIGNAL, to); err == unix.EACCES {
		entry.Raise()
		err = unix.Sendto(fd, datagram, unix.MSG_NOSIGNAL, to)
		entry.Restore()
	}
	return err
}
