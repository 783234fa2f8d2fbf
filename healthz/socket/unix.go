package socket

import (
	"context"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"usher/internal/file"
	"usher/signals/entry"
)

// How long to wait before the next try to connect to a server whose queue is full: at first, and at most.
const (
	firstPause = 5 * time.Millisecond
	lastPause  = 100 * time.Millisecond
)

// DialUnix connects to a socket of that kind in the file system; see file.Within for turn. At the end of ctx the error is os.ErrDeadlineExceeded or
// file.ErrNoAnswer. The deadline stays on the connection.
//
// While the server's queue is full, connect(2) waits. A socket that does not block has it fail instead, and nothing tells when to try again. A
// thread that waits would be one more for the Go runtime, which dies if there is none to be had: so there are several tries.
func DialUnix(ctx context.Context, turn *file.Turn, path string, kind int) (*Conn, error) {
	sa := &unix.SockaddrUnix{Name: path}
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		var c *Conn // closed by its finalizer where it comes too late
		err := file.Within(ctx, turn, func() error {
			fd, err := open(sa, kind)
			if err != nil {
				return err
			}
			if err = unix.Connect(fd, sa); err == unix.EACCES { // it may be for the app's user only
				entry.Raise()
				err = unix.Connect(fd, sa)
				entry.Restore()
			}
			if err != nil {
				unix.Close(fd)
				return err
			}
			c = &Conn{os.NewFile(uintptr(fd), "")}
			return nil
		})
		if err == nil {
			if deadline, limited := ctx.Deadline(); limited {
				c.SetDeadline(deadline)
			}
			return c, nil
		}
		if err != unix.EAGAIN {
			return nil, err
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil, os.ErrDeadlineExceeded
		}
	}
}
