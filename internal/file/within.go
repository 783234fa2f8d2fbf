package file

import (
	"context"
	"errors"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// MaxCalls bounds the number of calls that Within has in the kernel at a time.
// Each call that does not return holds a thread. Package supervisor makes these
// threads before it starts the app, since there may be none to be had later.
const MaxCalls = 16

var calls = make(chan struct{}, MaxCalls)

// ErrNoAnswer says that a call was still in the kernel at the end of its
// context, or still waited for other such calls.
var ErrNoAnswer = errors.New("no answer from the file system")

// Turn limits one user of Within, such as a check, to one call at a time.
type Turn uint32

// Taken reports whether a call with this turn has not returned yet.
func (t *Turn) Taken() bool { return atomic.LoadUint32((*uint32)(t)) != 0 }

// Within makes a call that looks up a path or reads a file. In the kernel no time
// limit holds for such a call: if the server of the file system is gone, it may
// never return. Therefore the call runs on a goroutine of its own. At the end of
// ctx, Within returns ErrNoAnswer, and the call goes on. Until that call has
// returned, further calls with the same turn fail at the end of their ctx. If
// turn is nil, there is no such limit.
//
// The call must not use anything that belongs to its caller, which may have
// returned. A call that returns at once costs no change of threads.
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

// ReadWithin returns the content of a file as Read does, or an error at the end
// of ctx.
func ReadWithin(ctx context.Context, turn *Turn, path string) (string, error) {
	var text string
	if err := Within(ctx, turn, func() error { text = Read(path); return nil }); err != nil {
		return "", err
	}
	return text, nil
}
