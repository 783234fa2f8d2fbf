package file

import (
	"context"
	"errors"

	"golang.org/x/sys/unix"
)

// MaxCalls is how many calls Within has in the kernel at a time. Each that does not return holds a thread: it has to be there before
// the app is, since none may be had later (package supervisor's reserve).
const MaxCalls = 16

var calls = make(chan struct{}, MaxCalls)

// ErrNoAnswer says that a call was still in the kernel at the end of its context, or had to wait for others that were.
var ErrNoAnswer = errors.New("no answer from the file system")

// Turn keeps one user of Within, such as a check, to one call at a time. Nil lets in any number.
type Turn chan struct{}

// NewTurn returns a Turn for one user.
func NewTurn() Turn { return make(Turn, 1) }

// Within makes a call that looks up a path. No time limit holds for such a call in the kernel: on a file system whose server is gone it
// may never return. So it is made on a goroutine of its own; at the end of ctx, Within returns ErrNoAnswer without it. When a call
// that was left behind returns nevertheless, late is called, unless nil: for a descriptor that nobody wants any more.
//
// The call may only use what belongs to it: its caller may be gone. A call that returns at once costs no change of threads.
func Within(ctx context.Context, turn Turn, call func() error, late func()) error {
	if turn != nil {
		select {
		case turn <- struct{}{}:
		case <-ctx.Done():
			return ErrNoAnswer
		}
	}
	leave := func() {
		if turn != nil {
			<-turn
		}
	}
	select {
	case calls <- struct{}{}:
	case <-ctx.Done():
		leave()
		return ErrNoAnswer
	}
	answer := make(chan error) // without a buffer: what is sent has been taken
	go func() {
		err := call()
		for err == unix.EINTR {
			err = call()
		}
		<-calls
		leave()
		select {
		case answer <- err:
		case <-ctx.Done():
			if late != nil {
				late()
			}
		}
	}()
	select {
	case err := <-answer:
		return err
	case <-ctx.Done():
		return ErrNoAnswer
	}
}

// ReadWithin is Read, within ctx.
func ReadWithin(ctx context.Context, turn Turn, path string) (string, error) {
	var text string
	if err := Within(ctx, turn, func() error { text = Read(path); return nil }, nil); err != nil {
		return "", err
	}
	return text, nil
}
