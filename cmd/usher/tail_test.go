package main_test

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// tailed is what stands in a termination log behind usher's line and its heading.
func tailed(t *testing.T, log string) string {
	t.Helper()
	_, tail, _ := strings.Cut(readLog(t, log), "\nlast of stderr:\n")
	return tail
}

// The last lines, and nothing of it is missing on stderr, whatever it is, and however much.
func TestTail(t *testing.T) {
	eachBuild(t, func(t *testing.T, b *build) {
		for _, c := range []struct {
			name, script string
			size         int    // of stderr
			tail         string // in the termination log
		}{
			{"few lines", `printf 'one\ntwo\nthree\nfour\n' >&2`, 19, "two\nthree\nfour\n"},
			{"fewer", `printf 'one\ntwo\n' >&2`, 8, "one\ntwo\n"},
			{"an open line", `printf 'one\ntwo\nthree\nfour' >&2`, 18, "two\nthree\nfour"},
			{"nothing", `echo out`, 0, ""},
			{"line by line", `for i in one two three four; do echo $i >&2; sleep 0.05; done`, 19, "two\nthree\nfour\n"},
			{"a flood and a death", `head -c 50000000 /dev/zero | tr '\0' 'x' >&2; printf '\none\ntwo\nthree\n' >&2; kill -9 $$`, 50000015, "one\ntwo\nthree\n"},
			{"a flood of lines", `seq 1 1000000 >&2`, 6888896, "999998\n999999\n1000000\n"},
			{"a long line", `head -c 100000 /dev/zero | tr '\0' 'x' >&2`, 100000, strings.Repeat("x", 3900)},
			{"what is no text", `head -c 99999 /dev/zero >&2; printf '\377\n\376' >&2`, 100002, "\ufffd"},
			{"a straggler", `perl -e '$SIG{TERM} = sub { print STDERR "told\n"; exit }; sleep 60' & sleep 0.3; echo gone >&2`, 10, "gone\ntold\n"},
		} {
			t.Run(c.name, func(t *testing.T) {
				t.Parallel()
				log := newLog(t)
				u := start(t, b, "-q", "--termination-log", log, "--termination-tail", "3", "--", "bash", "-c", c.script)
				u.wait()
				if out := u.stderr.String(); len(out) != c.size {
					t.Errorf("%d bytes of stderr, want %d: %.100q", len(out), c.size, out)
				}
				tail := tailed(t, log)
				if strings.HasPrefix(c.tail, "x") {
					if len(readLog(t, log)) > 4096 || !strings.HasSuffix(tail, c.tail) {
						t.Errorf("%d bytes of tail", len(tail))
					}
				} else if tail != c.tail {
					t.Errorf("tail %q", tail)
				}
			})
		}
	})
}

// The app finds in stderr what it would find without usher: it can open it, as another user too, and dies of a reader that is gone.
func TestTailIsStderr(t *testing.T) {
	for _, args := range [][]string{nil, {"--user", "65534:65534"}} {
		if args != nil && os.Getuid() != 0 {
			continue
		}
		log := newLog(t)
		u := start(t, &made, append(append([]string{"--termination-log", log, "--termination-tail", "3"}, args...), "--", "sh", "-c", "echo opened > /dev/stderr; echo out; exit 3")...)
		u.want(3)
		if tail := tailed(t, log); tail != "opened\n" || u.stdout.String() != "out\n" {
			t.Errorf("%q: tail %q, stdout %q, stderr %q", args, tail, &u.stdout, &u.stderr)
		}
	}

	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	log := newLog(t)
	u := command(t, &made, "--termination-log", log, "--termination-tail", "3", "--", "bash", "-c", "while echo again >&2; do sleep 0.01; done")
	u.cmd.Stderr = w
	u.begin()
	w.Close()
	r.Close()
	u.want(128 + int(unix.SIGPIPE))
	if word := readLog(t, log); !strings.HasPrefix(word, "Signaled: killed by SIGPIPE") {
		t.Errorf("termination log: %q", word)
	}
}

// Files, as well as those that are appended to, which splice(2) does not take.
func TestTailToAFile(t *testing.T) {
	for _, flags := range []int{os.O_WRONLY, os.O_WRONLY | os.O_APPEND} {
		path, log := filepath.Join(t.TempDir(), "stderr"), newLog(t)
		f, err := os.OpenFile(path, flags|os.O_CREATE, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		u := command(t, &made, "--termination-log", log, "--termination-tail", "1", "--", "sh", "-c", "seq 1 1000000 >&2; exit 3")
		u.cmd.Stderr = f
		u.begin().want(3)
		f.Close()
		if out, err := os.ReadFile(path); err != nil || len(out) != 6888896 || !bytes.HasPrefix(out, []byte("1\n2\n3\n")) || tailed(t, log) != "1000000\n" {
			t.Errorf("%x: %d bytes, tail %q", flags, len(out), tailed(t, log))
		}
	}
}

// stalled are a pipe and a socket for stderr that nobody reads.
func stalled(t *testing.T) map[string]*os.File {
	var pipe [2]int
	if err := unix.Pipe2(pipe[:], unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	sockets, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		unix.Close(pipe[0])
		unix.Close(sockets[0])
	})
	return map[string]*os.File{"pipe": os.NewFile(uintptr(pipe[1]), "pipe"), "socket": os.NewFile(uintptr(sockets[1]), "socket")}
}

// A reader of stderr that takes nothing holds up the app, as without usher, but neither signals nor the end.
func TestTailWhileStderrStalls(t *testing.T) {
	eachBuild(t, func(t *testing.T, b *build) {
		for what, w := range stalled(t) {
			log := newLog(t)
			u := command(t, b, "-v", "--termination-log", log, "--termination-tail", "3", "--", "sh", "-c",
				`trap 'echo got USR1' USR1; trap 'kill $!; exit 3' TERM; head -c 1000000 /dev/zero >&2 & echo ready; while :; do sleep 0.01; done`)
			u.cmd.Stderr = w
			u.begin()
			w.Close()
			u.printed("ready\n")
			u.signal(unix.SIGUSR1)
			u.printed("got USR1\n")
			u.signal(unix.SIGTERM)
			u.want(3)
			if word := readLog(t, log); !strings.HasPrefix(word, "Error: exit code 3; ") || strings.Contains(word, "killed after it") {
				t.Errorf("%s: termination log: %q", what, word)
			}
		}
	})
}

// What the app wrote last is in the termination log even if nobody takes it, and stays where it is for whoever comes back.
func TestTailOfWhatNobodyReads(t *testing.T) {
	eachBuild(t, func(t *testing.T, b *build) {
		for _, flood := range []int{1000, 50000, 100000} {
			r, w, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			log := newLog(t)
			u := command(t, b, "-q", "--termination-log", log, "--termination-tail", "3", "--", "sh", "-c", "head -c $0 /dev/zero >&2; printf '\\none\\ntwo\\nthree\\n' >&2; exit 3", fmt.Sprint(flood))
			u.cmd.Stderr = w
			u.begin().want(3)
			w.Close()
			if tail := tailed(t, log); tail != "one\ntwo\nthree\n" {
				t.Errorf("%d bytes: tail %.100q", flood, tail)
			}
		}
	})
}

// A flood has the pipe made wider, and nothing else has.
func TestTailWidens(t *testing.T) {
	for flood, want := range map[int]string{1: "65536", 1000: "262144"} {
		u := start(t, &made, "--termination-tail", "3", "--", "perl", "-e",
			`syswrite STDERR, "x" x ($ARGV[0] > 1 ? 1 << 16 : 100) for 1..$ARGV[0]; print fcntl(STDERR, 1032, 0)`, fmt.Sprint(flood)) // F_GETPIPE_SZ
		u.want(0)
		if u.stdout.String() != want {
			t.Errorf("after %d writes the app's pipe has room for %s, want %s", flood, &u.stdout, want)
		}
	}
}

// A socket, and descriptors that do not block, with a reader that is slow.
func TestTailToWhatDoesNotBlock(t *testing.T) {
	for _, socket := range []bool{false, true} {
		var ends [2]int
		var err error
		if socket {
			ends, err = unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		} else {
			err = unix.Pipe2(ends[:], unix.O_CLOEXEC)
		}
		if err == nil {
			err = unix.SetNonblock(ends[1], true)
		}
		if err != nil {
			t.Fatal(err)
		}
		log := newLog(t)
		u := command(t, &made, "--termination-log", log, "--termination-tail", "1", "--", "sh", "-c", "seq 1 300000 >&2; exit 3")
		u.cmd.Path, u.cmd.Args = "/bin/sh", append([]string{"sh", "-c", `exec "$@" 2>&3`, "sh", made.path}, u.cmd.Args[1:]...)
		w := os.NewFile(uintptr(ends[1]), "stderr")
		u.cmd.ExtraFiles = []*os.File{w}
		u.begin()
		if flags, err := unix.FcntlInt(uintptr(ends[1]), unix.F_GETFL, 0); err != nil || flags&unix.O_NONBLOCK == 0 {
			t.Fatalf("stderr would block: %x, %v", flags, err)
		}
		w.Close()
		total := 0
		for b := make([]byte, 20000); ; time.Sleep(time.Millisecond) {
			n, err := unix.Read(ends[0], b)
			if n <= 0 || err != nil {
				break
			}
			total += n
		}
		unix.Close(ends[0])
		u.want(3)
		if tail := tailed(t, log); total != 1988895 || tail != "300000\n" {
			t.Errorf("socket %v: %d bytes, tail %q", socket, total, tail)
		}
	}
}

// A slow reader gets all of it.
func TestTailOfASlowReader(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	u := command(t, &made, "--termination-tail", "3", "--", "sh", "-c", "head -c 400000 /dev/zero >&2; exit 3")
	u.cmd.Stderr = w
	u.begin()
	w.Close()
	total := 0
	for b := make([]byte, 20000); ; time.Sleep(10 * time.Millisecond) {
		n, err := r.Read(b)
		total += n
		if err == io.EOF {
			break
		}
	}
	u.want(3)
	if total != 400000 {
		t.Errorf("%d bytes", total)
	}
}

// Where the stop has a budget, a slow reader does not get more: usher still says how the app ended, by exit code too, before it is killed.
func TestTailOfASlowReaderInAStop(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	log := newLog(t)
	u := command(t, &made, "--termination-log", log, "--termination-tail", "3", "--grace-period", "2s", "--", "bash", "-c",
		`trap 'kill $!; printf "\nlast\n" >&2; exit 3' TERM; head -c 1000000 /dev/zero >&2 & while :; do sleep 0.01; done`)
	u.cmd.Stderr = w
	u.begin()
	w.Close()
	eventually(t, func() error {
		if n, err := unix.IoctlGetInt(int(r.Fd()), unix.TIOCINQ); n < 1<<16 {
			return fmt.Errorf("%d bytes in the pipe: %v", n, err)
		}
		return nil
	})
	go func() { // 5 s for what is in this pipe alone
		for b := make([]byte, 4096); ; time.Sleep(300 * time.Millisecond) {
			if _, err := r.Read(b); err != nil {
				return
			}
		}
	}()
	began := time.Now()
	u.signal(unix.SIGTERM)
	u.want(3)
	if took := time.Since(began); took > 4*time.Second {
		t.Errorf("a stop of 2s took %v", took)
	}
	if tail := tailed(t, log); !strings.HasSuffix(tail, "last\n") {
		t.Errorf("tail %.100q", tail)
	}
}

// A terminal stays one, and usher says that there is no tail then.
func TestTailOfATerminal(t *testing.T) {
	log := newLog(t)
	u := commandHere(t, &made, "-q")
	u.cmd.Path, u.cmd.Args = "/usr/bin/script", []string{"script", "-qec", made.path + " --termination-tail 3 --termination-log " + log + ` -- sh -c 'test -t 2 && echo terminal; echo err >&2'`, "/dev/null"}
	u.begin().want(0)
	if out := u.stdout.String(); strings.Count(out, "stderr is a terminal") != 1 || !strings.Contains(out, "terminal\r\n") || strings.Contains(readLog(t, log), "err") {
		t.Errorf("output %q, termination log %q", out, readLog(t, log))
	}
}

// BenchmarkTail compares with a pipe that nobody stands in, of whose throughput 80 percent are promised between two cats, and with one that a third cat
// stands in, which is what the machine can do with three processes. What head writes is 4 kB at a time, cat 128. It takes two gigabytes: with
// less, the start and the end of usher count as well.
func BenchmarkTail(b *testing.B) {
	file := filepath.Join(b.TempDir(), "file")
	if err := os.WriteFile(file, make([]byte, 50_000_000), 0o600); err != nil {
		b.Fatal(err)
	}
	for _, flood := range []struct{ by, script string }{
		{"cat", "cat" + strings.Repeat(" "+file, 40)},
		{"head", "head -c 2000000000 /dev/zero"},
	} {
		for _, c := range []struct{ name, script string }{
			{"direct", flood.script + " | cat > /dev/null"},
			{"third", flood.script + " | cat | cat > /dev/null"},
			{"tail", fmt.Sprintf("%s --termination-log= --termination-tail 10 -- sh -c '%s >&2' 2>&1 >/dev/null | cat > /dev/null", made.path, flood.script)},
		} {
			b.Run(flood.by+"/"+c.name, func(b *testing.B) {
				b.SetBytes(2_000_000_000)
				for b.Loop() {
					if out, err := exec.Command("sh", "-c", c.script).CombinedOutput(); err != nil {
						b.Fatalf("%v\n%s", err, out)
					}
				}
			})
		}
	}
}

func TestTailOfLessThanNothing(t *testing.T) {
	u := start(t, &made, "--termination-tail", "-1", "--", "echo", "started")
	u.want(125)
	if out := u.stderr.String(); !strings.Contains(out, "--termination-tail -1: must not be negative") || u.stdout.String() != "" {
		t.Errorf("it says %q", out)
	}
}
