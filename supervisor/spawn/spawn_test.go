package spawn

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"usher/supervisor/exitcode"
)

// A child with a copy of usher's memory, as under qemu-user, reports a failed start
// as a child does that shares the memory.
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
