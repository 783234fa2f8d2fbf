package socket

import (
	"context"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"usher/healthz/file"
)

// How long to wait before the next try to connect to a server whose queue is full: at first, and at most.
const (
	firstPause = 5 * time.Millisecond
	lastPause  = 100 * time.Millisecond
)

// ConnectUnix connects to a socket in the file system, of that kind, and returns a descriptor that does not block. At the end of ctx the error is
// os.ErrDeadlineExceeded, or file.ErrNoAnswer.
//
// While the server's queue is full, connect(2) waits, unless it may not: then it fails, and poll(2) does not tell when to try again. A thread that
// waits is one that the Go runtime dies without, so there are several tries.
func ConnectUnix(ctx context.Context, turn file.Turn, path string, kind int) (fd int, err error) {
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		if fd, err = connectUnix(ctx, turn, path, kind); err != unix.EAGAIN {
			return fd, err
		}
		wait := time.NewTimer(pause)
		select {
		case <-wait.C:
		case <-ctx.Done():
			wait.Stop()
			return -1, os.ErrDeadlineExceeded
		}
	}
}

func connectUnix(ctx context.Context, turn file.Turn, path string, kind int) (int, error) {
	connected := -1
	call := func() error {
		fd, err := unix.Socket(unix.AF_UNIX, kind|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		if err := unix.Connect(fd, &unix.SockaddrUnix{Name: path}); err != nil {
			unix.Close(fd)
			return err
		}
		connected = fd
		return nil
	}
	late := func() {
		if connected >= 0 {
			unix.Close(connected)
		}
	}
	if err := file.Within(ctx, turn, call, late); err != nil {
		return -1, err
	}
	return connected, nil
}

// DialUnix connects to a stream socket in the file system, as ConnectUnix does. The context's deadline stays on the connection.
func DialUnix(ctx context.Context, turn file.Turn, path string) (*Conn, error) {
	fd, err := ConnectUnix(ctx, turn, path, unix.SOCK_STREAM)
	if err != nil {
		return nil, err
	}
	c := &Conn{os.NewFile(uintptr(fd), "")}
	if deadline, limited := ctx.Deadline(); limited {
		c.SetDeadline(deadline)
	}
	return c, nil
}
