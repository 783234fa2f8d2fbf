package main

import (
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"
	"unsafe"
)

// end ends as its name says, or waits for its end.
func end(how string, args []string) error {
	value := 0
	if len(args) > 0 {
		n, err := strconv.Atoi(args[0])
		if err != nil {
			return err
		}
		value = n
	}
	switch how {
	case "exit":
		if value != 0 {
			fmt.Fprintln(os.Stderr, "cannot connect to db")
		}
		os.Exit(value)
	case "signal":
		// The Go runtime makes exit code 2 of SIGSEGV, unless its handler is removed
		// behind its back.
		action := [4]uintptr{} // SIG_DFL
		_, _, err := syscall.RawSyscall6(syscall.SYS_RT_SIGACTION, uintptr(value), uintptr(unsafe.Pointer(&action)),
			0, 8, 0, 0)
		if err != 0 {
			return err
		}
		if err := syscall.Kill(os.Getpid(), syscall.Signal(value)); err != nil {
			return err
		}
	case "eat":
		type block struct {
			before *block
			bytes  [1 << 20]byte
		}
		for last := (*block)(nil); ; {
			last = &block{before: last}
			for i := range last.bytes {
				last.bytes[i] = 1
			}
		}
	case "fill":
		// What kubelet evicts a pod for: more on a volume than its limit.
		if err := os.WriteFile("/volume/big", make([]byte, value<<20), 0o644); err != nil {
			return err
		}
	case "ignore":
		signal.Ignore(syscall.SIGTERM)
	case "wait":
	default:
		return fmt.Errorf("%q: no such command", how)
	}
	for {
		time.Sleep(time.Hour)
	}
}
