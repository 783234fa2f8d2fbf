package check

import (
	"context"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"usher/signals/entry"
)

// connectUnix connects to a socket in the file system, of whatever type it is. While the server's queue is full, connect(2) waits, for
// as long as SO_SNDTIMEO says: that needs no poller, and a server that accepts soon enough is well.
func connectUnix(ctx context.Context, path string) error {
	for _, kind := range []int{unix.SOCK_STREAM, unix.SOCK_SEQPACKET, unix.SOCK_DGRAM} {
		err := connectUnixAs(ctx, kind, path)
		if err == unix.EAGAIN {
			return os.ErrDeadlineExceeded
		}
		if err != unix.EPROTOTYPE { // it has another type
			return err
		}
	}
	return unix.EPROTOTYPE
}

func connectUnixAs(ctx context.Context, kind int, path string) error {
	fd, err := unix.Socket(unix.AF_UNIX, kind|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if deadline, limited := ctx.Deadline(); limited {
		left := unix.NsecToTimeval(int64(max(time.Until(deadline), time.Millisecond))) // 0 would be for ever
		if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &left); err != nil {
			return err
		}
	}
	if err = connect(fd, path); err == unix.EACCES {
		entry.Raise()
		err = connect(fd, path)
		entry.Restore()
	}
	return err
}

func connect(fd int, path string) error {
	for {
		if err := unix.Connect(fd, &unix.SockaddrUnix{Name: path}); err != unix.EINTR {
			return err
		}
	}
}
