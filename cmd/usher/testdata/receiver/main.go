// The receiver prints "ready" and then a line for each signal it gets: number, si_code, sender's pid, value. It reads the kernel's
// queue itself, which takes usher's entry point to keep the Go runtime from taking signals away; os/signal loses some. SIGTERM
// ends it with exit code 42, after all that was queued has been printed.
package main

import (
	"bufio"
	"fmt"
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"

	"usher/signals"
)

// siginfo is siginfo_t on a 64-bit machine, for what kill(2) and sigqueue(3) send.
type siginfo struct {
	signo, errno, code, _ int32
	pid                   int32
	uid                   uint32
	value                 uint64
	_                     [96]byte
}

func main() {
	runtime.LockOSThread()
	if _, err := signals.Open(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	out := bufio.NewWriter(os.Stdout)
	fmt.Fprintln(out, "ready")
	out.Flush()
	ended := false
	for {
		all, info, timeout := ^uint64(0), siginfo{}, &unix.Timespec{}
		if !ended {
			timeout = nil
		}
		_, _, errno := unix.Syscall6(unix.SYS_RT_SIGTIMEDWAIT, uintptr(unsafe.Pointer(&all)), uintptr(unsafe.Pointer(&info)),
			uintptr(unsafe.Pointer(timeout)), unsafe.Sizeof(all), 0, 0)
		if ended && errno == unix.EAGAIN {
			out.Flush()
			os.Exit(42)
		}
		if errno != 0 {
			continue
		}
		fmt.Fprintln(out, info.signo, info.code, info.pid, info.value)
		if info.signo != int32(unix.SIGTERM) {
			out.Flush()
		}
		ended = ended || info.signo == int32(unix.SIGTERM)
	}
}
