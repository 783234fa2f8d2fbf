// Dyingfs mounts a file system that shows the files of a directory, and dies when it is told to: from then on no call that
// looks up a path there comes back. So it is with a dead NFS or FUSE server.
//
//	dyingfs SOURCE MOUNTPOINT
//
// It prints "mounted", and then obeys the lines on stdin, with a line "done" for each:
//
//	die     leaves requests unread: callers wait, and only SIGKILL ends them, as with NFS
//	hang    takes requests and does not answer: not even SIGKILL ends the callers
//
// At the end of stdin it unmounts and exits. However it ends, the kernel then ends every wait with an error.
//
// Nothing is cached: each lookup asks. It speaks as much of FUSE's protocol (include/uapi/linux/fuse.h, version 7.31) as
// it takes to read, write, list, execute and remove files, and to bind sockets.
package main

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// Operations of fuse.h.
const (
	opLookup      = 1
	opForget      = 2
	opGetattr     = 3
	opSetattr     = 4
	opMknod       = 8
	opUnlink      = 10
	opOpen        = 14
	opRead        = 15
	opWrite       = 16
	opRelease     = 18
	opInit        = 26
	opOpendir     = 27
	opReaddir     = 28
	opReleasedir  = 29
	opInterrupt   = 36
	opBatchForget = 42

	noFlush = 1 << 5 // FOPEN_NOFLUSH

	headerLen = 40
	maxWrite  = 128 << 10
)

// What SETATTR sets.
const (
	setMode = 1 << iota
	setUID
	setGID
	setSize
)

type server struct {
	fd     int         // /dev/fuse
	mute   atomic.Bool // it takes requests and does not answer
	leave  [2]int      // a pipe: with its write end closed, serve returns
	served chan struct{}

	paths []string // by node, less one
	nodes map[string]uint64
}

func main() {
	signal.Ignore(unix.SIGINT, unix.SIGTERM, unix.SIGHUP, unix.SIGQUIT) // that end the test end stdin
	if err := run(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "dyingfs:", err)
		os.Exit(1)
	}
}

func run(source, mountpoint string) error {
	fd, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	options := fmt.Sprintf("fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other", fd)
	if err := unix.Mount("dyingfs", mountpoint, "fuse.dyingfs", unix.MS_NODEV, options); err != nil {
		return fmt.Errorf("mount: %w", err)
	}
	defer unix.Unmount(mountpoint, unix.MNT_DETACH)
	s := &server{fd: fd, served: make(chan struct{}), paths: []string{source}, nodes: map[string]uint64{source: 1}}
	if err := unix.Pipe2(s.leave[:], unix.O_CLOEXEC); err != nil {
		return err
	}
	go s.serve()
	fmt.Println("mounted")
	for in := bufio.NewScanner(os.Stdin); in.Scan(); fmt.Println("done") {
		switch in.Text() {
		case "die":
			unix.Close(s.leave[1])
			<-s.served
		case "hang":
			s.mute.Store(true)
		}
	}
	return nil
}

// serve answers requests until the file system is unmounted, or has to die.
func (s *server) serve() {
	defer close(s.served)
	for request := make([]byte, maxWrite+4096); ; {
		ready := []unix.PollFd{{Fd: int32(s.fd), Events: unix.POLLIN}, {Fd: int32(s.leave[0])}}
		unix.Poll(ready, -1)
		if ready[1].Revents != 0 {
			return
		}
		n, err := unix.Read(s.fd, request)
		switch {
		case err == unix.EINTR, err == unix.EAGAIN, err == unix.ENOENT: // the last: it was interrupted meanwhile
			continue
		case err != nil:
			return
		}
		if s.mute.Load() {
			continue
		}
		opcode, node := binary.NativeEndian.Uint32(request[4:]), binary.NativeEndian.Uint64(request[16:])
		var answer []byte
		switch opcode {
		case opForget, opBatchForget, opInterrupt: // want no answer
			continue
		case opInit:
			answer, err = words(7, 31, 0, 0, 0, maxWrite, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0), nil
		default:
			answer, err = s.answer(opcode, node, request[headerLen:n])
		}
		var errno unix.Errno
		if err != nil && !errors.As(err, &errno) {
			errno = unix.EIO
		}
		head := words(uint32(16+len(answer)), uint32(-int32(errno)))
		unix.Write(s.fd, append(append(head, request[8:16]...), answer...))
	}
}

func (s *server) answer(opcode uint32, node uint64, in []byte) ([]byte, error) {
	path := s.paths[node-1]
	switch opcode {
	case opLookup:
		return s.entry(filepath.Join(path, name(in)))
	case opGetattr:
		return s.attributes(path)
	case opSetattr:
		return s.set(path, in)
	case opMknod:
		path = filepath.Join(path, name(in[16:]))
		if err := unix.Mknod(path, binary.NativeEndian.Uint32(in), 0); err != nil {
			return nil, err
		}
		return s.entry(path)
	case opUnlink:
		return nil, unix.Unlink(filepath.Join(path, name(in)))
	case opOpen, opOpendir:
		// Without a handle: each call opens the file anew. And without FLUSH, in which a process that ends would wait, whatever kills it.
		return words(0, 0, noFlush, 0), nil
	case opRead:
		return read(path, in)
	case opReaddir:
		return list(path, in)
	case opWrite:
		return write(path, in)
	case opRelease, opReleasedir:
		return nil, nil
	}
	return nil, unix.ENOSYS
}

// entry is struct fuse_entry_out. Neither the name nor the attributes may be kept.
func (s *server) entry(path string) ([]byte, error) {
	attr, err := attr(path)
	if err != nil {
		return nil, err
	}
	node := s.nodes[path]
	if node == 0 {
		s.paths = append(s.paths, path)
		node = uint64(len(s.paths))
		s.nodes[path] = node
	}
	return append(longs(node, 0, 0, 0, 0), attr...), nil
}

// attributes is struct fuse_attr_out.
func (s *server) attributes(path string) ([]byte, error) {
	attr, err := attr(path)
	return append(longs(0, 0), attr...), err
}

// attr is struct fuse_attr.
func attr(path string) ([]byte, error) {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return nil, err
	}
	b := longs(st.Ino, uint64(st.Size), uint64(st.Blocks), uint64(st.Atim.Sec), uint64(st.Mtim.Sec), uint64(st.Ctim.Sec))
	return append(b, words(0, 0, 0, st.Mode, uint32(st.Nlink), st.Uid, st.Gid, 0, 4096, 0)...), nil
}

func (s *server) set(path string, in []byte) ([]byte, error) {
	valid := binary.NativeEndian.Uint32(in)
	var err error
	if valid&setSize != 0 {
		err = errors.Join(err, os.Truncate(path, int64(binary.NativeEndian.Uint64(in[16:]))))
	}
	if valid&setMode != 0 {
		err = errors.Join(err, unix.Chmod(path, binary.NativeEndian.Uint32(in[68:])&0o7777))
	}
	if valid&(setUID|setGID) != 0 {
		uid, gid := -1, -1
		if valid&setUID != 0 {
			uid = int(binary.NativeEndian.Uint32(in[76:]))
		}
		if valid&setGID != 0 {
			gid = int(binary.NativeEndian.Uint32(in[80:]))
		}
		err = errors.Join(err, os.Lchown(path, uid, gid))
	}
	if err != nil {
		return nil, err
	}
	return s.attributes(path)
}

func read(path string, in []byte) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b := make([]byte, binary.NativeEndian.Uint32(in[16:]))
	n, _ := f.ReadAt(b, int64(binary.NativeEndian.Uint64(in[8:])))
	return b[:n], nil
}

func write(path string, in []byte) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	n, err := f.WriteAt(in[40:40+binary.NativeEndian.Uint32(in[16:])], int64(binary.NativeEndian.Uint64(in[8:])))
	return words(uint32(n), 0), err
}

// list is a series of struct fuse_dirent, all at once.
func list(path string, in []byte) (b []byte, err error) {
	if binary.NativeEndian.Uint64(in[8:]) > 0 {
		return nil, nil
	}
	files, err := os.ReadDir(path)
	for i, f := range files {
		b = append(b, longs(uint64(i)+2, uint64(i)+1)...)
		b = append(b, words(uint32(len(f.Name())), 0)...)
		b = append(b, f.Name()...)
		b = append(b, make([]byte, (8-len(b)%8)%8)...)
	}
	return b, err
}

func name(in []byte) string { return string(in[:bytes.IndexByte(in, 0)]) }

func words(all ...uint32) (b []byte) {
	for _, w := range all {
		b = binary.NativeEndian.AppendUint32(b, w)
	}
	return b
}

func longs(all ...uint64) (b []byte) {
	for _, w := range all {
		b = binary.NativeEndian.AppendUint64(b, w)
	}
	return b
}
