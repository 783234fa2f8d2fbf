package main_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A termination log on a file system that does not answer costs a line in the log, the word, and less than a second. 5a6c03f hung, each time: no
// app if the file system was dead before, no stop and no SIGKILL if it died later.
func TestTerminationLogThatHangs(t *testing.T) {
	for _, user := range []string{"0:0", "65534:65534"} {
		for _, before := range []bool{true, false} {
			t.Run(fmt.Sprintf("user %s, before the start %v", user, before), func(t *testing.T) {
				t.Parallel()
				f := newDyingFS(t)
				os.Chmod(filepath.Dir(f.dir), 0o755)
				if err := os.WriteFile(filepath.Join(f.source, "log"), []byte("an old word"), 0o666); err != nil {
					t.Fatal(err)
				}
				if before {
					f.die()
				}
				health := freePort(t)
				u := start(t, &made, "--user", user, "--termination-log", f.path("log"), "--health-addr", health, "--grace-period", "3s", "--",
					"sh", "-c", "trap 'echo got TERM' TERM; trap 'echo got USR1' USR1; echo ready; while :; do sleep 0.01; done")
				u.printed("ready\n")
				if !before {
					f.die()
				}
				u.signal(unix.SIGTERM)
				begun := time.Now()
				u.printed("got TERM\n")
				u.logged("the termination log does not answer")
				wantBody(t, "http://"+health+"/livez", 200)
				wantBody(t, "http://"+health+"/readyz", 503)
				u.signal(unix.SIGUSR1)
				u.printed("got USR1\n")
				u.want(137)
				if took := time.Since(begun); took > patience/2 {
					t.Errorf("the stop took %v", took)
				}
				if n := strings.Count(u.stderr.String(), "does not answer"); n > 2 { // at the start, or in the stop, and at the end
					t.Errorf("it is said %d times:\n%s", n, &u.stderr)
				}
			})
		}
	}
}

// The file system comes back in the middle of a stop: the last word is there.
func TestTerminationLogThatHangsForAWhile(t *testing.T) {
	log := newLog(t)
	lease, err := os.OpenFile(log, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer lease.Close()
	u := start(t, &made, "--term-delay", "1h", "--termination-log", log, "--", "sh", "-c", "trap 'exit 3' TERM; echo ready; while :; do sleep 0.01; done")
	u.printed("ready\n")
	// Who opens the file from now on has to wait, or to try again: 5a6c03f gave up, each time.
	if _, err := unix.FcntlInt(lease.Fd(), unix.F_SETLEASE, unix.F_WRLCK); err != nil {
		t.Skipf("no lease can be had here: %v", err)
	}
	u.signal(unix.SIGTERM)
	u.logged("the termination log does not answer in time: ")
	if fi, err := os.Stat(log); err != nil || fi.Size() > 0 {
		t.Errorf("%v, %v", fi.Size(), err)
	}
	if _, err := unix.FcntlInt(lease.Fd(), unix.F_SETLEASE, unix.F_UNLCK); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() error {
		if word := readLog(t, log); !strings.HasPrefix(word, "StopTimeout: ended from outside in the middle of a stop; ") {
			return fmt.Errorf("ahead it says %q", word)
		}
		return nil
	})
	u.signal(unix.SIGTERM)
	u.want(3)
	if word := readLog(t, log); !strings.HasPrefix(word, "Error: exit code 3; ") {
		t.Errorf("the last word: %q", word)
	}
}
