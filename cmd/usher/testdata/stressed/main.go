// Stressed is an app that keeps its init busy: it prints the signals it gets, makes orphans, writes to stderr, answers requests and
// says that it lives, all at once. `stressed send` is one of those who send it signals.
//
// It reads the kernel's queue itself and has to be linked with usher's entry point, as testdata/receiver.
package main

import (
	"bufio"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"usher/signals"
)

// Signals that ask the app for something.
const (
	report = 35 + iota // make no more orphans, and say how many there were
	fail               // exit with 3
	crash              // die of SIGKILL
	stop               // the same as SIGTERM
)

var (
	addr   = flag.String("addr", "", "where HTTP requests are answered")
	socket = flag.String("socket", "", "a unix socket to listen at")
	file   = flag.String("file", "", "a file to be there while the app is")
	ignore = flag.Bool("ignore", false, "go on after SIGTERM")
	leave  = flag.Bool("leave", false, "leave a process behind that nothing but SIGKILL ends")
	life   = fmt.Sprint(time.Now().UnixNano())
)

func main() {
	runtime.LockOSThread()
	if len(os.Args) > 1 && os.Args[1] == "send" {
		signals.Default()
		send()
		return
	}
	flag.Parse()
	if _, err := signals.Open(); err != nil {
		fatal(err)
	}
	if err := os.WriteFile(*file, nil, 0o666); err != nil {
		fatal(err)
	}
	serve("tcp", *addr)
	os.Remove(*socket) // of the last run
	serve("unix", *socket)
	if *leave {
		orphans(1, 0)
	}
	go notify()
	go chatter()
	var made atomic.Int64
	var pause atomic.Bool
	paused := make(chan struct{})
	go func() {
		for n := int64(0); ; n++ {
			if pause.Load() {
				close(paused)
				return
			}
			made.Add(orphans(1+n%7, time.Duration(n%11+1)*time.Millisecond))
			time.Sleep(time.Duration(n%5) * time.Millisecond)
		}
	}()
	receive(func() int64 {
		pause.Store(true)
		<-paused
		return made.Load()
	})
}

func fatal(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

// siginfo is siginfo_t on a 64-bit machine, for what kill(2) and sigqueue(3) send.
type siginfo struct {
	signo, errno, code, _ int32
	pid                   int32
	uid                   uint32
	value                 uint64
	_                     [96]byte
}

// receive prints a line for each signal: number, si_code, value, and when. What was queued before SIGTERM is printed before the end.
func receive(orphans func() int64) {
	out := bufio.NewWriterSize(os.Stdout, 1<<16)
	fmt.Fprintln(out, "ready")
	for idle, ended := true, false; ; {
		set, info, timeout := ^uint64(1<<(unix.SIGCHLD-1)), siginfo{}, &unix.Timespec{}
		if idle {
			out.Flush()
			if ended {
				os.Exit(42)
			}
			timeout = nil
		}
		_, _, errno := unix.Syscall6(unix.SYS_RT_SIGTIMEDWAIT, uintptr(unsafe.Pointer(&set)), uintptr(unsafe.Pointer(&info)),
			uintptr(unsafe.Pointer(timeout)), unsafe.Sizeof(set), 0, 0)
		if idle = errno == unix.EAGAIN; errno != 0 {
			continue
		}
		fmt.Fprintln(out, "signal", info.signo, info.code, info.value, now())
		switch info.signo {
		case int32(unix.SIGTERM), stop:
			ended = !*ignore
		case report:
			fmt.Fprintln(out, "orphans", orphans())
		case fail:
			out.Flush()
			os.Exit(3)
		case crash:
			out.Flush()
			unix.Kill(os.Getpid(), unix.SIGKILL)
		}
	}
}

// now is CLOCK_MONOTONIC, which all processes share.
func now() int64 {
	var ts unix.Timespec
	unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts)
	return ts.Nano()
}

func serve(network, addr string) {
	l, err := net.Listen(network, addr)
	if err != nil {
		fatal(err)
	}
	go http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "ok") }))
}

// notify tells usher, where that listens.
func notify() {
	name := os.Getenv("NOTIFY_SOCKET")
	if name == "" {
		return
	}
	c, err := net.Dial("unixgram", name)
	if err != nil {
		fatal(err)
	}
	for n := 0; ; n++ {
		fmt.Fprintf(c, "READY=1\nWATCHDOG=1\nSTATUS=said so %d times", n)
		time.Sleep(10 * time.Millisecond)
	}
}

// chatter writes to stderr, now a line, now a flood.
func chatter() {
	for n := 0; ; {
		var b strings.Builder
		lines := 1
		if n%40 == 39 {
			lines = 2001
		}
		for range lines {
			fmt.Fprintf(&b, "chatter %s %d\n", life, n)
			n++
		}
		os.Stderr.WriteString(b.String())
		time.Sleep(5 * time.Millisecond)
	}
}

// orphans forks a process that leaves n behind, each of which lives for so long; 0 is until it is killed.
func orphans(n int64, live time.Duration) int64 {
	ts := unix.NsecToTimespec(int64(live))
	pid := fork(n, &ts)
	if pid < 0 {
		return 0 // there may be a limit
	}
	var status unix.WaitStatus
	for {
		if _, err := unix.Wait4(pid, &status, 0, nil); err != unix.EINTR {
			return int64(status.ExitStatus())
		}
	}
}

// fork is orphans' between fork and exit, where there is no Go runtime. The exit code says how many were left behind.
//
//go:nosplit
//go:norace
//go:noinline
func fork(n int64, live *unix.Timespec) int {
	pid, _, errno := unix.RawSyscall6(unix.SYS_CLONE, uintptr(unix.SIGCHLD), 0, 0, 0, 0, 0)
	if errno != 0 {
		return -1
	}
	if pid != 0 {
		return int(pid)
	}
	left := uintptr(0)
	for range n {
		pid, _, errno := unix.RawSyscall6(unix.SYS_CLONE, uintptr(unix.SIGCHLD), 0, 0, 0, 0, 0)
		if errno == 0 && pid == 0 {
			for live.Nsec == 0 {
				unix.RawSyscall(unix.SYS_PPOLL, 0, 0, 0)
			}
			unix.RawSyscall(unix.SYS_NANOSLEEP, uintptr(unsafe.Pointer(live)), 0, 0)
			unix.RawSyscall(unix.SYS_EXIT_GROUP, 0, 0, 0)
		}
		if errno == 0 {
			left++
		}
	}
	unix.RawSyscall(unix.SYS_EXIT_GROUP, left, 0, 0)
	return 0
}

// send sends a process what lines on stdin say, "COUNT SIGNAL": so many queued signals, a real-time one of the sender's own, and one of
// that number. It answers with how many it has queued so far, and when it began to send the other one.
func send() {
	var id, pid, count, sig, queued int
	fmt.Sscan(os.Args[2], &id)
	fmt.Sscan(os.Args[3], &pid)
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		fmt.Sscan(in.Text(), &count, &sig)
		for range count {
			info := siginfo{signo: int32(40 + id), code: -1, pid: int32(os.Getpid()), value: uint64(id)<<32 | uint64(queued)}
			for {
				_, _, errno := unix.Syscall(unix.SYS_RT_SIGQUEUEINFO, uintptr(pid), uintptr(info.signo), uintptr(unsafe.Pointer(&info)))
				if errno == 0 {
					break
				} else if errno != unix.EAGAIN { // the queue is full (RLIMIT_SIGPENDING)
					return
				}
				time.Sleep(time.Millisecond)
			}
			queued++
		}
		began := now()
		if unix.Kill(pid, unix.Signal(sig)) != nil {
			return
		}
		fmt.Println(queued, began)
	}
}
