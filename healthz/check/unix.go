package check

import (
	"context"

	"golang.org/x/sys/unix"

	"usher/healthz/socket"
	"usher/internal/file"
)

// connectUnix connects to a socket in the file system, whatever its type. The
// check holds if the server accepts soon enough.
func connectUnix(ctx context.Context, turn *file.Turn, path string) error {
	for _, kind := range []int{unix.SOCK_STREAM, unix.SOCK_SEQPACKET, unix.SOCK_DGRAM} {
		conn, err := socket.DialUnix(ctx, turn, path, kind)
		if err == nil {
			return conn.Close()
		}
		if err != unix.EPROTOTYPE { // the socket has another type
			return err
		}
	}
	return unix.EPROTOTYPE
}
