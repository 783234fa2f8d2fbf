package supervisor

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"usher/signals"
	"usher/supervisor/exitcode"
)

// A child with a copy of usher's memory, as under qemu-user, reports a failed start as one does that shares it.
func TestFork(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"script": "exit 3\n", "empty": "", "elf": "\x7fELF\n", "binary": "a\x00\n", "none": "#!\nexit 4\n", "cr": "#!/bin/sh\r\n", "denied": "x"} {
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
				l, err := spawnBy(fork, &Process{files: files, argv: []string{"it"}, tty: -1, stdio: []int{0, 1, 2}, inherited: signals.Inherited{}})
				if err != nil {
					t.Fatal(err)
				}
				var got string
				switch {
				case !l.started(time.Minute):
					t.Fatal("not started")
				case l.err != nil:
					got = l.err.Error()
				default:
					var status unix.WaitStatus
					for {
						if _, err := unix.Wait4(l.pid, &status, 0, nil); err != unix.EINTR {
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
