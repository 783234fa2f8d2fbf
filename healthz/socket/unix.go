package socket

import (
	"context"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"usher/internal/file"
	"usher/signals/entry"
)

// The pauses before the next attempt to connect to a server whose queue is
// full: the first one, and the longest one.
const (
	firstPause = 5 * time.Millisecond
	lastPause  = 100 * time.Millisecond
)

// DialUnix connects to a socket of that kind in the file system. turn is for
// file.Within. At the end of ctx the error is os.ErrDeadlineExceeded or
// file.ErrNoAnswer. The deadline stays on the connection.
//
// While the server's queue is full, connect(2) waits on a blocking socket and
// fails on a non-blocking one, and the kernel does not tell when to try again.
// A thread that waits could be one too many: the Go runtime dies if it cannot
// create another one. So DialUnix tries several times.
func DialUnix(ctx context.Context, turn *file.Turn, path string, kind int) (*Conn, error) {
	sa := &unix.SockaddrUnix{Name: path}
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		var c *Conn // if it comes too late, its finalizer closes it
		err := file.Within(ctx, turn, func() error {
			fd, err := open(sa, kind)
			if err != nil {
				return err
			}
			if err = unix.Connect(fd, sa); err == unix.EACCES { // it may be writable only for the app's user
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
