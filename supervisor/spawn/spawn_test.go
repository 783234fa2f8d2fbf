package spawn

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"usher/supervisor/exitcode"
)

// A child with a copy of usher's memory, as under qemu-user, reports a failed
// start as a child does that shares the memory.
func TestFork(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"script": "exit 3\n", "empty": "", "elf": "\x7fELF\n", "binary": "a\x00\n",
		"none": "#!\nexit 4\n", "cr": "#!/bin/sh\r\n", "denied": "x",
	} {
		mode := os.FileMode(0o755)
		if name == "denied" {
			mode = 0o644
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
	for name, fork := range map[string]func(*child) (int, bool, syscall.Errno){
		"shared": (*child).fork,
		"copy": func(c *child) (int, bool, syscall.Errno) {
			beforeFork()
			pid, errno := c.forkCopy()
			afterFork()
			return pid, false, errno
		},
	} {
		for _, tt := range []struct{ files, want string }{
			{"/bin/true", "0"},
			{"/nosuch /bin/false", "1"},
			{"DIR/script", "3"},
			{"DIR/none", "4"},
			{"DIR/empty", "0"},
			{"/nosuch DIR/nosuch", `cannot run "/nosuch": no such file or directory`},
			{"/nosuch DIR/denied /nosuch", `cannot run "DIR/denied": permission denied`},
			{"DIR/elf /bin/true", `cannot run "DIR/elf": exec format error`},
			{"DIR/binary", `cannot run "DIR/binary": exec format error`},
			{"DIR/cr", `cannot run "DIR/cr": no such file or directory`},
		} {
			t.Run(name+" "+tt.files, func(t *testing.T) {
				files := strings.Fields(strings.ReplaceAll(tt.files, "DIR", dir))
				l, err := startBy(fork, &Process{Files: files, Argv: []string{"it"}, TTY: -1, Stdio: []int{0, 1, 2}})
				if err != nil {
					t.Fatal(err)
				}
				var got string
				switch {
				case !l.WaitAndReap(time.Minute):
					t.Fatal("not started")
				case l.Err != nil:
					got = l.Err.Error()
				default:
					var status unix.WaitStatus
					for {
						if _, err := unix.Wait4(l.PID, &status, 0, nil); err != unix.EINTR {
							break
						}
					}
					got = fmt.Sprint(exitcode.Of(status))
				}
				if want := strings.ReplaceAll(tt.want, "DIR", dir); got != want {
					t.Errorf("%s, want %s", got, want)
				}
			})
		}
	}
	if guarded.children != 0 {
		t.Errorf("%d children have usher's memory", guarded.children)
	}
}

// A child that has reported a failure has usher's memory as long as it is
// there: nobody is let in, and its stack is kept, until it has ended. One that
// is stopped then, by the app for instance, does not stay.
func TestFailedChildStays(t *testing.T) {
	var ends [2]int
	if err := unix.Pipe2(ends[:], unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	w := os.NewFile(uintptr(ends[1]), "")
	c := exec.Command("sleep", "60")
	c.ExtraFiles = []*os.File{w} // as a child does that has not come to its end
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	defer c.Process.Kill()
	if err := unix.Kill(c.Process.Pid, unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	guardMemory()
	l := &Starting{PID: c.Process.Pid, process: &Process{Files: []string{"it"}}, shared: true, reportR: ends[0]}
	if l.Wait(0) {
		t.Fatal("over before anything has happened")
	}
	report := failure{errno: uintptr(unix.EACCES)}
	if _, err := w.Write(unsafe.Slice((*byte)(unsafe.Pointer(&report)), unsafe.Sizeof(report))); err != nil {
		t.Fatal(err)
	}
	// The test holds the child's end of the pipe as well, so that the child has not
	// ended for l.
	if l.Wait(0) || guarded.children != 1 || l.Err == nil {
		t.Errorf("over by its report; guarded: %d, error: %v", guarded.children, l.Err)
	}
	w.Close()
	if !l.Wait(time.Minute) || guarded.children != 0 {
		t.Errorf("not over with its end; guarded: %d", guarded.children)
	}
	if !l.WaitAndReap(time.Minute) {
		t.Error("not reaped")
	}
}

// A debugger can keep a child from being reaped. That does not hold up usher.
func TestFailedChildIsHeld(t *testing.T) {
	const hold = "USHER_TEST_HOLD"
	if pid, _ := strconv.Atoi(os.Getenv(hold)); pid != 0 { // the debugger
		runtime.LockOSThread()
		_, _, errno := unix.RawSyscall6(unix.SYS_PTRACE, unix.PTRACE_SEIZE, uintptr(pid), 0, 0, 0, 0)
		fmt.Println(uintptr(errno))
		time.Sleep(time.Minute)
		return
	}
	c := exec.Command("sleep", "60")
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	defer c.Process.Kill()
	debugger := exec.Command("/proc/self/exe", "-test.run=^"+t.Name()+"$")
	debugger.Env = append(os.Environ(), fmt.Sprintf("%s=%d", hold, c.Process.Pid))
	out, err := debugger.StdoutPipe()
	if err == nil {
		err = debugger.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	defer debugger.Process.Kill()
	var errno int
	if _, err := fmt.Fscan(out, &errno); err != nil || errno != 0 {
		t.Skipf("no debugger: %v, %v", err, syscall.Errno(errno))
	}
	l := &Starting{PID: c.Process.Pid, reportR: -1, Err: unix.EACCES}
	begin := time.Now()
	if l.WaitAndReap(20*time.Millisecond) || time.Since(begin) > 10*time.Second {
		t.Errorf("it ended, or not soon enough: %v", time.Since(begin))
	}
	_ = debugger.Process.Kill()
	_ = debugger.Wait()
	if !l.WaitAndReap(time.Minute) {
		t.Error("not reaped")
	}
}

// Between setuid and execve, a child that has usher's memory leaves no core
// dump, also where fs.suid_dumpable is 2 (0 hides the fault), and has no
// descriptor to be taken.
func TestChildGivesNothingAway(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("not root")
	}
	dir, err := os.MkdirTemp("/tmp", "") // which everybody may search
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	program := filepath.Join(dir, "program")
	if err := errors.Join(os.Chmod(dir, 0o755), os.WriteFile(program, []byte("#!/bin/sh\n"), 0o755)); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(program)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := unix.FcntlInt(f.Fd(), unix.F_SETLEASE, unix.F_WRLCK); err != nil {
		t.Skip("no lease: ", err)
	}
	l, err := Start(&Process{Files: []string{program}, Argv: []string{"it"}, TTY: -1, Stdio: []int{0, 1, 2}, User: &Identity{UID: 65534, GID: 65534}})
	if err != nil {
		t.Fatal(err)
	}
	if l.WaitAndReap(20*time.Millisecond) || !l.shared {
		t.Fatalf("it does not wait with usher's memory: %v", l.Err)
	}
	if fds, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", l.PID)); err != nil || len(fds) != 4 { // the pipe's end is one
		t.Errorf("the child has descriptors of usher's: %v, %v", fds, err)
	}
	if dumpable, _, errno := unix.RawSyscall(unix.SYS_PRCTL, unix.PR_GET_DUMPABLE, 0, 0); dumpable != 0 || errno != 0 {
		t.Errorf("dumpable: %d, %v", dumpable, errno)
	}
	_ = unix.Kill(l.PID, unix.SIGQUIT)
	var status unix.WaitStatus
	if _, err := unix.Wait4(l.PID, &status, 0, nil); err != nil || status.Signal() != unix.SIGQUIT || status.CoreDump() {
		t.Errorf("%v, core dumped: %v, %v", status.Signal(), status.CoreDump(), err)
	}
	if !l.Wait(time.Minute) {
		t.Error("not over")
	}
}
