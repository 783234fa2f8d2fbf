package supervisor

import (
	"bytes"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"usher/supervisor/lastword"
)

// tail passes the app's stderr on to usher's own and keeps its end. Of a flood it looks at no more than that: the rest stays in the kernel
// (splice(2)), between two pipes without being copied.
type tail struct {
	lines int
	r, w  int // of the pipe that is the app's stderr

	copied atomic.Int64 // bytes so far: whether the reader of stderr takes anything
	done   atomic.Bool
	mu     sync.Mutex
	kept   []byte // at least the last keep bytes, if there were so many
}

const (
	// keep is as much as a termination log can have.
	keep = lastword.Size
	// tailTime is how long usher waits at its end for a reader of stderr that takes nothing.
	tailTime = 500 * time.Millisecond
)

// newTail makes the pipe; nil, with a word in the log, where there is no tail to be had. A terminal stays a terminal for the app.
func newTail(lines int, as *identity, log Logger) *tail {
	if _, err := unix.IoctlGetTermios(2, unix.TCGETS); err == nil {
		log.Infof("stderr is a terminal: nothing of it will be in the termination log")
		return nil
	}
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
		log.Errorf("cannot make a pipe for --termination-tail: %v", err)
		return nil
	}
	if as != nil {
		_ = unix.Fchown(fds[1], int(as.uid), -1) // so that it can open /dev/stderr
	}
	return &tail{lines: lines, r: fds[0], w: fds[1]}
}

// run passes on until nobody can write any more, or nobody reads: then the app is told so by its own writes, as it would be without usher.
func (t *tail) run() {
	defer t.done.Store(true)
	defer unix.Close(t.r)
	buf := make([]byte, keep)
	flood := 2 * keep
	for {
		if n, err := unix.IoctlGetInt(t.r, unix.TIOCINQ); err == nil && n > flood {
			if !t.splice(n - keep) {
				flood = 1 << 30 // a file that is appended to, or no file at all
			}
		}
		n, err := unix.Read(t.r, buf)
		switch {
		case err == unix.EINTR:
			continue
		case n <= 0:
			return
		}
		t.mu.Lock()
		if t.kept = append(t.kept, buf[:n]...); len(t.kept) > 2*keep {
			t.kept = append(t.kept[:0], t.kept[len(t.kept)-keep:]...)
		}
		t.mu.Unlock()
		for b := buf[:n]; len(b) > 0; {
			n, err := unix.Write(2, b)
			if err != nil && !again(err) {
				return
			}
			b = b[max(n, 0):]
			t.copied.Add(int64(max(n, 0)))
		}
	}
}

// splice passes on n bytes unseen. It reports false if that can't be done.
func (t *tail) splice(n int) bool {
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

// again reports whether to try again, and waits until there is a point: the app may have made stderr non-blocking.
func again(err error) bool {
	if err == unix.EAGAIN {
		_, err = unix.Poll([]unix.PollFd{{Fd: 2, Events: unix.POLLOUT}}, -1)
	}
	return err == nil || err == unix.EINTR
}

// drain waits for what the app has written before its end, as long as somebody takes it.
func (t *tail) drain() {
	unix.Close(t.w)
	copied := t.copied.Load()
	for deadline := time.Now().Add(tailTime); !t.done.Load() && time.Now().Before(deadline); _, _ = unix.Poll(nil, 1) {
		if now := t.copied.Load(); now != copied {
			copied, deadline = now, time.Now().Add(tailTime)
		}
	}
}

// end is the last lines so far.
func (t *tail) end() []byte {
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
