package supervisor

import (
	"bytes"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"usher/signals/entry"
	"usher/supervisor/lastword"
	"usher/supervisor/spawn"
)

// tail passes the app's stderr on to usher's own and keeps its end. Of a flood between two pipes it looks at no more than that: the rest stays in
// the kernel (splice(2)), without being copied. Into a socket or a file it would be copied all the same, and the kernel locks the pipe until
// that is taken (splice_to_socket): an app that writes then waits where no signal reaches it, not even SIGKILL, and so does usher if it asks.
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
	// much is as much in the pipe, half of what it holds, as shows that the app writes faster than it is read. Then the pipe is made wide:
	// three processes that wait for each other at every 64 kB cost more than what they do. Not wider, since what all pipes of a user may
	// have is limited as well (pipe(7), pipe-user-pages-soft).
	much, wide = 32 << 10, 256 << 10
	// stint is how many rounds of a flood are done before Go's scheduler is called, which is every few milliseconds. A goroutine that has not
	// called it for 10 ms is taken its processor away in every system call, and another thread is woken for that (runtime, retake).
	stint = 64
	// readTries is how often a read of the pipe may fail in a row, readPause how long it is until the next, in milliseconds.
	readTries, readPause = 100, 10
)

// newTail makes the pipe; nil, with a word in the log, where there is no tail to be had. A terminal stays a terminal for the app.
func newTail(lines int, as *spawn.Identity, log Logger) *tail {
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
		entry.Raise()
		_ = unix.Fchown(fds[1], int(as.UID), -1) // so that it can open /dev/stderr
		entry.Restore()
	}
	return &tail{lines: lines, r: fds[0], w: fds[1]}
}

// run passes on until nobody can write any more, or nobody reads: then the app is told so by its own writes, as it would be without usher.
func (t *tail) run() {
	defer t.done.Store(true)
	defer unix.Close(t.r)
	buf := make([]byte, keep)
	const never = 1 << 30
	flood, widened := never, false
	var st unix.Stat_t
	if unix.Fstat(2, &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFIFO {
		flood = 2 * keep
	}
	failures := 0
	for round := 1; ; round++ {
		if round%stint == 0 {
			runtime.Gosched()
		}
		n, err := unix.IoctlGetInt(t.r, unix.TIOCINQ)
		if err == nil && n >= much && !widened {
			widened = true
			_, _ = unix.FcntlInt(uintptr(t.r), unix.F_SETPIPE_SZ, wide) // or it stays as it is
		}
		if err == nil && n > flood && !t.splice(n-keep) {
			flood = never
		}
		n, err = unix.Read(t.r, buf)
		switch {
		case err == unix.EINTR:
			continue
		case err != nil && failures < readTries: // to close the pipe would kill the app
			failures++
			_, _ = unix.Poll(nil, readPause)
			continue
		case n <= 0:
			return
		}
		failures = 0
		t.keep(buf[:n])
		for b := buf[:n]; len(b) > 0; {
			n, err := unix.Write(2, b)
			switch {
			case err == unix.EPIPE: // nobody reads
				return
			case err != nil && !again(err): // a full disk, for one: that loses lines, no app
				n = len(b)
			}
			b = b[max(n, 0):]
			t.copied.Add(int64(max(n, 0)))
		}
	}
}

func (t *tail) keep(b []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.kept = append(t.kept, b...); len(t.kept) > 2*keep {
		t.kept = append(t.kept[:0], t.kept[len(t.kept)-keep:]...)
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

// drain waits for what the app has written before its end, as long as somebody takes it, and until then at most, if that is not zero.
func (t *tail) drain(until time.Time) {
	unix.Close(t.w)
	copied, now := t.copied.Load(), time.Now()
	for deadline := now.Add(tailTime); !t.done.Load() && now.Before(deadline) && (until.IsZero() || now.Before(until)); now = time.Now() {
		if n := t.copied.Load(); n != copied {
			copied, deadline = n, now.Add(tailTime)
		}
		_, _ = unix.Poll(nil, 1)
	}
	if !t.done.Load() {
		t.look()
	}
}

// look keeps what is in the pipe, and leaves it there: the reader of stderr may yet come back.
func (t *tail) look() {
	var fds [2]int
	size, err := unix.FcntlInt(uintptr(t.r), unix.F_GETPIPE_SZ, 0)
	if err != nil || unix.Pipe2(fds[:], unix.O_CLOEXEC|unix.O_NONBLOCK) != nil {
		return
	}
	_, _ = unix.FcntlInt(uintptr(fds[0]), unix.F_SETPIPE_SZ, size)
	_, _ = unix.Tee(t.r, fds[1], wide, unix.SPLICE_F_NONBLOCK)
	buf := make([]byte, keep)
	for {
		n, err := unix.Read(fds[0], buf)
		if n <= 0 && err != unix.EINTR {
			return // usher ends
		}
		t.keep(buf[:max(n, 0)])
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
