// Package tail forwards the app's stderr to usher's own, and keeps the end of it
// for the termination log.
package tail

import (
	"bytes"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"usher/signals/entry"
	"usher/supervisor/lastword"
)

// Log takes what an administrator should know. It must not block.
type Log interface {
	Infof(format string, args ...any)
	Errorf(format string, args ...any)
}

// Tail forwards the app's stderr to usher's own and keeps its end.
//
// Between two pipes, a flood is moved in the kernel (splice(2)), without being
// copied, and only its end is read. For a socket or a file, splice would copy all
// the same. It would also lock the pipe until the bytes are taken
// (splice_to_socket). An app that writes would then wait where no signal reaches
// it, not even SIGKILL, and so would usher when it asks how full the pipe is.
type Tail struct {
	// FD is the writing end of a pipe, for the app's stderr.
	FD int

	lines int
	r     int // the reading end

	copied atomic.Int64 // bytes forwarded so far; shows whether the reader of stderr takes any
	done   atomic.Bool
	mu     sync.Mutex
	kept   []byte // the last keptSize bytes, or more
}

const (
	// keptSize is the size of a termination log.
	keptSize = lastword.Size
	// drainTime is how long usher waits at its end for a reader of stderr that takes
	// nothing.
	drainTime = 500 * time.Millisecond
	// With half of the pipe's capacity in it, the app writes faster than the pipe is
	// read, and the pipe is made wide. Otherwise three processes would wait for each
	// other at every 64 kB, which costs more than their work. It is not made wider
	// because all pipes of a user share a limit (pipe(7), pipe-user-pages-soft).
	halfFull, wide = 32 << 10, 256 << 10
	// stint is the number of rounds of a flood between two calls of Go's scheduler,
	// which come every few milliseconds then. After 10 ms without such a call, the
	// runtime takes the goroutine's P away at each system call, and wakes another
	// thread for that (runtime.retake).
	stint = 64
	// readTries is how often in a row a read of the pipe may fail, and readPause the
	// time between two tries in milliseconds.
	readTries, readPause = 100, 10
)

// New makes the pipe. It returns nil, and says why in the log, if there can be no
// tail. A terminal is one reason: it has to stay a terminal for the app. The owner
// of the pipe becomes uid, which may be another user than usher's; -1 changes
// nothing.
func New(lines, uid int, log Log) *Tail {
	if _, err := unix.IoctlGetTermios(2, unix.TCGETS); err == nil {
		log.Infof("stderr is a terminal: nothing of it will be in the termination log")
		return nil
	}
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
		log.Errorf("cannot make a pipe for --termination-tail: %v", err)
		return nil
	}
	if uid >= 0 {
		entry.Raise()
		_ = unix.Fchown(fds[1], uid, -1) // so that the app can open /dev/stderr
		entry.Restore()
	}
	return &Tail{FD: fds[1], lines: lines, r: fds[0]}
}

// Run forwards until no process can write any more, or none reads. In the latter
// case the app's writes fail, as they would without usher.
func (t *Tail) Run() {
	defer t.done.Store(true)
	defer unix.Close(t.r)
	buf := make([]byte, keptSize)
	const never = 1 << 30
	flood, widened := never, false
	var st unix.Stat_t
	if unix.Fstat(2, &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFIFO {
		flood = 2 * keptSize
	}
	failures := 0
	for round := 1; ; round++ {
		if round%stint == 0 {
			runtime.Gosched()
		}
		n, err := unix.IoctlGetInt(t.r, unix.TIOCINQ)
		if err == nil && n >= halfFull && !widened {
			widened = true
			_, _ = unix.FcntlInt(uintptr(t.r), unix.F_SETPIPE_SZ, wide) // if that fails, the pipe stays as it is
		}
		if err == nil && n > flood && !t.splice(n-keptSize) {
			flood = never
		}
		n, err = unix.Read(t.r, buf)
		switch {
		case err == unix.EINTR:
			continue
		case err != nil && failures < readTries: // closing the pipe would kill the app
			failures++
			_, _ = unix.Poll(nil, readPause)
			continue
		case n <= 0:
			return
		}
		failures = 0
		t.save(buf[:n])
		for b := buf[:n]; len(b) > 0; {
			n, err := unix.Write(2, b)
			switch {
			case err == unix.EPIPE: // no process reads
				return
			case err != nil && !again(err): // such as a full disk, which loses lines but must not end the app
				n = len(b)
			}
			b = b[max(n, 0):]
			t.copied.Add(int64(max(n, 0)))
		}
	}
}

// save appends b to what is kept.
func (t *Tail) save(b []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.kept = append(t.kept, b...); len(t.kept) > 2*keptSize {
		t.kept = append(t.kept[:0], t.kept[len(t.kept)-keptSize:]...)
	}
}

// splice forwards n bytes without reading them. It returns false if that is not
// possible.
func (t *Tail) splice(n int) bool {
	for n > 0 {
		moved, err := unix.Splice(t.r, nil, 2, nil, n, unix.SPLICE_F_MOVE)
		switch {
		case err != nil && !again(err):
			return false
		case err == nil && moved == 0:
			return false
		}
		n -= int(max(moved, 0))
		t.copied.Add(int64(max(moved, 0)))
		t.mu.Lock()
		t.kept = t.kept[:0]
		t.mu.Unlock()
	}
	return true
}

// again reports whether to try again after err. If stderr takes nothing at
// present, which the app may have made non-blocking, again waits until it does.
func again(err error) bool {
	if err == unix.EAGAIN {
		_, err = unix.Poll([]unix.PollFd{{Fd: 2, Events: unix.POLLOUT}}, -1)
	}
	return err == nil || err == unix.EINTR
}

// Drain waits at the app's end until all it has written is forwarded. It gives up
// if the reader of stderr takes nothing for a while, or at the given time, unless
// that is zero.
func (t *Tail) Drain(until time.Time) {
	unix.Close(t.FD)
	copied, now := t.copied.Load(), time.Now()
	for deadline := now.Add(drainTime); !t.done.Load() && now.Before(deadline); now = time.Now() {
		if !until.IsZero() && !now.Before(until) {
			break
		}
		if n := t.copied.Load(); n != copied {
			copied, deadline = n, now.Add(drainTime)
		}
		_, _ = unix.Poll(nil, 1)
	}
	if !t.done.Load() {
		t.peek()
	}
}

// peek keeps what is in the pipe, and leaves it there, because the reader of
// stderr may return.
func (t *Tail) peek() {
	var fds [2]int
	size, err := unix.FcntlInt(uintptr(t.r), unix.F_GETPIPE_SZ, 0)
	if err != nil || unix.Pipe2(fds[:], unix.O_CLOEXEC|unix.O_NONBLOCK) != nil {
		return
	}
	_, _ = unix.FcntlInt(uintptr(fds[0]), unix.F_SETPIPE_SZ, size)
	_, _ = unix.Tee(t.r, fds[1], wide, unix.SPLICE_F_NONBLOCK)
	buf := make([]byte, keptSize)
	for {
		n, err := unix.Read(fds[0], buf)
		if n <= 0 && err != unix.EINTR {
			return // without closing: usher is about to end
		}
		t.save(buf[:max(n, 0)])
	}
}

// End returns the last lines so far.
func (t *Tail) End() []byte {
	t.mu.Lock()
	defer t.mu.Unlock()
	from := len(t.kept)
	for range t.lines {
		if from > 0 {
			from = bytes.LastIndexByte(t.kept[:from-1], '\n') + 1
		}
	}
	return bytes.Clone(t.kept[from:])
}
