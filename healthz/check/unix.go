package check

import (
	"context"

	"golang.org/x/sys/unix"

	"usher/healthz/socket"
	"usher/internal/file"
)

// connectUnix connects to a socket in the file system, of whatever type it is. A server that accepts soon enough is well.
func connectUnix(ctx context.Context, turn *file.Turn, path string) error {
	for _, kind := range []int{unix.SOCK_STREAM, unix.SOCK_SEQPACKET, unix.SOCK_DGRAM} {
		conn, err := socket.DialUnix(ctx, turn, path, kind)
		if err == nil {
			return conn.Close()
		}
		if err != unix.EPROTOTYPE { // it has another type
			return err
		}
	}
	return unix.EPROTOTYPE
}
