package file

import (
	"context"
	"errors"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// MaxCalls is how many calls Within has in the kernel at a time. Each that does not return holds a thread: it has to be there before
// the app is, since none may be had later (package supervisor's reserve).
const MaxCalls = 16

var calls = make(chan struct{}, MaxCalls)

// ErrNoAnswer says that a call was still in the kernel at the end of its context, or had to wait for others that were.
var ErrNoAnswer = errors.New("no answer from the file system")

// Turn keeps one user of Within, such as a check, to one call at a time.
type Turn uint32

// Within makes a call that looks up a path, or reads what one leads to. No time limit holds for such a call in the kernel: on a file system
// whose server is gone it may never return. So it is made on a goroutine of its own; at the end of ctx, Within returns ErrNoAnswer without it, and
// the call goes on. For as long, others with its turn wait until their end. A nil turn is none.
//
// The call may only use what belongs to it: its caller may be gone. A call that returns at once costs no change of threads.
func Within(ctx context.Context, turn *Turn, call func() error) error {
	if turn != nil && !atomic.CompareAndSwapUint32((*uint32)(turn), 0, 1) {
		<-ctx.Done()
		return ErrNoAnswer
	}
	answer := make(chan error, 1)
	go func() {
		calls <- struct{}{}
		err := call()
		for err == unix.EINTR {
			err = call()
		}
		<-calls
		if turn != nil {
			atomic.StoreUint32((*uint32)(turn), 0)
		}
		answer <- err
	}()
	select {
	case err := <-answer:
		return err
	case <-ctx.Done():
		return ErrNoAnswer
	}
}

// ReadWithin is Read, within ctx.
func ReadWithin(ctx context.Context, turn *Turn, path string) (string, error) {
	var text string
	if err := Within(ctx, turn, func() error { text = Read(path); return nil }); err != nil {
		return "", err
	}
	return text, nil
}
