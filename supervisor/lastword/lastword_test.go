package lastword

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
	"unicode/utf8"
)

func TestRecord(t *testing.T) {
	stop := func(s Stop) *Stop {
		s.Signal, s.Sender = "SIGTERM", "outside the container"
		return &s
	}
	for _, c := range []struct {
		r    Record
		want string
	}{
		{Record{Reason: Completed, Uptime: 3210 * time.Millisecond}, "Completed: exit code 0; uptime 3.2s"},
		{Record{Reason: Error, ExitCode: 3, Uptime: 75*time.Hour + 3*time.Second}, "Error: exit code 3; uptime 75h0m3s"},
		{Record{Reason: Signaled, ExitCode: 139, Signal: "SIGSEGV", Core: true, Uptime: 5 * time.Millisecond},
			"Signaled: killed by SIGSEGV, core dumped (exit code 139); uptime 5ms"},
		{Record{Reason: StartError, ExitCode: 127, Message: `cannot start "x": not` + "\nfound"}, `StartError: cannot start "x": not found (exit code 127)`},
		{Record{Reason: StartError, ExitCode: 126, Message: `cannot start "x": it is not executable`, Hint: "chmod +x"},
			`StartError: cannot start "x": it is not executable (exit code 126); hint: chmod +x`},
		{Record{Reason: StopTimeout, Ahead: true, Uptime: time.Minute, Stop: stop(Stop{Hold: 10 * time.Second})},
			"StopTimeout: ended from outside in the middle of a stop; uptime 1m0s; SIGTERM from outside the container, being held back for 10s"},
		{Record{Reason: StopTimeout, Ahead: true, Uptime: time.Minute, Stop: stop(Stop{Hold: 10 * time.Second, Held: 10 * time.Second, Sent: "SIGQUIT"})},
			"StopTimeout: ended from outside in the middle of a stop; uptime 1m0s; SIGTERM from outside the container, held back for 10s, app had not ended after SIGQUIT"},
		{Record{Reason: Error, ExitCode: 1, Uptime: time.Minute, Stop: stop(Stop{Hold: 10 * time.Second, Held: time.Second, Over: true})},
			"Error: exit code 1; uptime 1m0s; SIGTERM from outside the container, app gone after 1s of a hold of 10s"},
		{Record{Reason: StopTimeout, Ahead: true, Uptime: time.Minute, Stop: stop(Stop{Hold: 10 * time.Second, Held: 4 * time.Second, HoldOver: "quiet for 3s", Between: true})},
			"StopTimeout: ended from outside in the middle of a stop; uptime 1m0s; SIGTERM from outside the container, held back for 4s of at most 10s (quiet for 3s), app had got no signal"},
		{Record{Reason: Error, ExitCode: 1, Uptime: time.Minute, Stop: stop(Stop{Hold: 10 * time.Second, Held: 10 * time.Second, Between: true, Over: true, Drained: "drained in 2s"})},
			"Error: exit code 1; uptime 1m0s; SIGTERM from outside the container, held back for 10s, drained in 2s, app gone before it got a signal"},
		{Record{Reason: StopTimeout, Ahead: true, Uptime: time.Minute, Stop: stop(Stop{Hold: time.Second, Held: time.Second, Between: true, Doing: "pre-stop running"})},
			"StopTimeout: ended from outside in the middle of a stop; uptime 1m0s; SIGTERM from outside the container, held back for 1s, app had got no signal (pre-stop running)"},
		{Record{Reason: Error, ExitCode: 1, Uptime: time.Minute, Stop: stop(Stop{Between: true, Doing: "pre-stop running", Over: true})},
			"Error: exit code 1; uptime 1m0s; SIGTERM from outside the container, app gone before it got a signal (pre-stop running)"},
		{Record{Reason: Completed, Uptime: time.Minute, Stop: stop(Stop{Sent: "SIGTERM", Took: 20 * time.Millisecond, Over: true})},
			"Completed: exit code 0; uptime 1m0s; SIGTERM from outside the container, app gone 20ms after SIGTERM"},
		{Record{Reason: Completed, Uptime: time.Minute, Stop: stop(Stop{Hold: time.Minute, HoldOver: "second SIGTERM", Held: time.Second, Sent: "SIGTERM", Took: 20 * time.Millisecond, Over: true})},
			"Completed: exit code 0; uptime 1m0s; SIGTERM from outside the container, held back for 1s of at most 1m0s (second SIGTERM), app gone 20ms after SIGTERM"},
		{Record{Reason: StopTimeout, ExitCode: 137, Signal: "SIGKILL", Uptime: time.Minute, Stop: stop(Stop{Sent: "SIGTERM", Grace: 9500 * time.Millisecond, Took: 9510 * time.Millisecond, Over: true})},
			"StopTimeout: killed by SIGKILL (exit code 137); uptime 1m0s; SIGTERM from outside the container, SIGKILL after 9.5s, app gone 9.5s after SIGTERM"},
		{Record{Reason: Signaled, ExitCode: 138, Signal: "SIGUSR1", Sender: "sh (pid 12, uid 0)", Uptime: time.Second, Restarts: 2, RSS: 118 << 20, CPU: 40 * time.Millisecond},
			"Signaled: killed by SIGUSR1 from sh (pid 12, uid 0) (exit code 138); uptime 1s, restarts 2; peak memory 118Mi, CPU 40ms"},
		{Record{Reason: HookFailed, ExitCode: 124, Message: "pre-start migrate: exit code 3: no such table", Uptime: time.Second},
			"HookFailed: pre-start migrate: exit code 3: no such table (exit code 124); uptime 1s"},
		{Record{Reason: OOMKilled, ExitCode: 137, Signal: "SIGKILL", Uptime: time.Second, Memory: Memory{Limit: 128 << 20, Peak: 128 << 20, Kills: 1, Victim: "java (pid 7)"}},
			"OOMKilled: killed by SIGKILL (exit code 137); out of memory: java (pid 7) killed, memory limit 128Mi, peak 128Mi; uptime 1s"},
		{Record{Reason: Error, ExitCode: 1, Uptime: time.Second, Memory: Memory{Limit: 128 << 20, Kills: 3, Victim: "java (pid 7)", Elsewhere: true}},
			"Error: exit code 1; out of memory: 3 processes killed, the last java (pid 7), not at the container's own limit, but the pod's or the node's; uptime 1s"},
		{Record{Reason: Signaled, Ahead: true, Uptime: time.Second, Memory: Memory{Limit: 128 << 20, Usage: 127 << 20, Reached: time.Unix(1e9, 0), Largest: "java (pid 7) 118Mi"}},
			"Signaled: ended from outside; memory limit 128Mi reached at 2001-09-09T01:46:40Z, used 127Mi, largest: java (pid 7) 118Mi; uptime 1s"},
		{Record{Reason: Signaled, Ahead: true, Memory: Memory{Whole: true, Limit: 128 << 20}},
			"Signaled: ended from outside, or out of memory, which kills the whole container: memory limit 128Mi"},
		{Record{Reason: Completed, Memory: Memory{Whole: true, Limit: 128 << 20}}, "Completed: exit code 0"},
		{Record{Reason: Error, ExitCode: 1, StillThere: []Process{{7, "re\xffdis", "D", "nfs_wait"}, {8, "sh", "S", ""}},
			Killed: []Process{{PID: 1}, {PID: 2}, {PID: 3}, {PID: 4}, {PID: 5, Name: "five"}, {PID: 6}}},
			"Error: exit code 1; still there: re\ufffddis (pid 7, state D, in nfs_wait), sh (pid 8, state S); " +
				"killed after it:  (pid 1),  (pid 2),  (pid 3),  (pid 4), five (pid 5) and 1 more"},
	} {
		if got := c.r.String(); got != c.want {
			t.Errorf("got  %s\nwant %s", got, c.want)
		}
	}
}

func TestBytes(t *testing.T) {
	for n, want := range map[uint64]string{
		0: "0", 999: "999", 1000: "1Ki", 1023: "1Ki", 1536: "1.5Ki", 10 << 10: "10Ki", 999 << 10: "999Ki", 1023 << 10: "1Mi", 118 << 20: "118Mi",
		1<<30 + 1<<29: "1.5Gi", 64 << 30: "64Gi", 5000 << 40: "5000Ti",
	} {
		if got := Bytes(n); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
}

// code ends a line that write writes.
const code = ": exit code 0"

// write writes a record that is of little but a reason.
func write(t *testing.T, l *Log, reason string) {
	t.Helper()
	if err := l.Write(&Record{Reason: Reason(reason)}); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestLogInPlace(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	if err := os.WriteFile(path, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	before, _ := os.Stat(path)
	l := NewLog(path, false, false)
	write(t, l, "a long first word")
	write(t, l, "last")
	if got := read(t, path); got != "last"+code+"\n" {
		t.Errorf("got %q", got)
	}
	// A bind mount can't be renamed over: it has to be the same file.
	if after, _ := os.Stat(path); !os.SameFile(before, after) {
		t.Error("it is another file now")
	}
}

// What the app has written, before, in between and instead, stays behind
// usher's line.
func TestLogKeepsTheApps(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	l := NewLog(path, true, false)
	os.WriteFile(path, []byte("before\n"), 0o666)
	write(t, l, "first")
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	f.WriteString("appended\n")
	f.Close()
	write(t, l, "a second, longer one")
	if got := read(t, path); got != "a second, longer one"+code+"\nbefore\nappended\n" {
		t.Errorf("appended: %q", got)
	}
	os.WriteFile(path, []byte("instead"), 0o666)
	write(t, l, "third")
	write(t, l, "4")
	if got := read(t, path); got != "4"+code+"\ninstead" {
		t.Errorf("replaced: %q", got)
	}
}

// What an earlier run has left in the same file is not this one's, whoever
// wrote it; a file that is missing, or none, is left so.
func TestLogBegins(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	for range 3 {
		l := NewLog(path, true, false)
		l.Begin(new(atomic.Bool))
		write(t, l, "word")
		f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		f.WriteString("the app's\n")
		f.Close()
		write(t, l, "last word")
		if got := read(t, path); got != "last word"+code+"\nthe app's\n" {
			t.Errorf("got %q", got)
		}
	}
	os.Remove(path)
	NewLog(path, true, false).Begin(new(atomic.Bool))
	if _, err := os.Stat(path); err == nil {
		t.Error("Begin has made the file")
	}
	for create, off := range map[bool]bool{true: false, false: true} {
		l := NewLog(path, create, false)
		if l.Begin(new(atomic.Bool)); l.Off() != off {
			t.Errorf("create %v: off %v", create, l.Off())
		}
	}
	NewLog("", true, false).Begin(new(atomic.Bool))
	NewLog(filepath.Dir(path), true, false).Begin(new(atomic.Bool))
}

// An app that has opened the file before usher wrote goes on at its own offset.
func TestLogWhereTheAppHasItOpen(t *testing.T) {
	const first = "StopTimeout: ended from outside in the middle of a stop"
	for _, c := range []struct {
		name          string
		before, after string // what the app writes, before usher and after
		want          string
	}{
		{"from the beginning, shorter", "", "disk full", "disk full"},
		{"from the beginning, longer", "", strings.Repeat("disk full ", 10), strings.Repeat("disk full ", 10)},
		{"in usher's line", "starting, phase one\n", "phase two\n", "starting, phase one\nphase two\n"},
		{"beyond usher's line", "starting, phase one\n", strings.Repeat("phase two ", 10), "starting, phase one\n" + strings.Repeat("phase two ", 10)},
		{"behind the end", strings.Repeat("phase one ", 10), "phase two", strings.Repeat("phase one ", 10) + "phase two"},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "log")
			f, err := os.Create(path)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			l := NewLog(path, true, false)
			f.WriteString(c.before)
			write(t, l, first)
			f.WriteString(c.after)
			for _, line := range []string{"Error: exit code 1", "Error: exit code 1; and more", "Error"} {
				write(t, l, line)
				if got := read(t, path); got != line+code+"\n"+c.want {
					t.Errorf("got %q", got)
				}
			}
		})
	}
}

// Usher may be killed between any two system calls: no part of a longer word,
// or of the app's, stands behind a shorter one.
func TestLogKilledInBetween(t *testing.T) {
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Skip(err)
	}
	const before = "StopTimeout: ended from outside in the middle of a stop" + code + "\n"
	if os.Getenv("LASTWORD_PATH") != "" {
		l := NewLog(os.Getenv("LASTWORD_PATH"), true, false)
		write(t, l, before[:len(before)-len(code)-1])
		write(t, l, "Completed")
		return
	}
	dir := t.TempDir() // not before: of a process that is killed it would stay
	path := filepath.Join(dir, "log")
	const calls = "pread64,fcntl,write,pwrite64,ftruncate,close"
	seen := map[string]bool{}
	for n := 1; ; n++ {
		os.WriteFile(path, nil, 0o666)
		cmd := exec.Command(strace, "-f", "-qq", "-P", path, "-e", "trace="+calls, "-o", filepath.Join(dir, "trace"),
			"-e", fmt.Sprintf("inject=%s:signal=KILL:when=%d", calls, n), os.Args[0], "-test.run=^TestLogKilledInBetween$")
		cmd.Env = append(os.Environ(), "LASTWORD_PATH="+path)
		out, err := cmd.CombinedOutput()
		got := read(t, path)
		seen[strings.TrimRight(got, " ")] = true
		if err == nil {
			break // it was not killed any more
		}
		if !cmd.ProcessState.Exited() && cmd.ProcessState.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL || n > 50 {
			t.Fatalf("call %d: %v\n%s", n, err, out)
		}
	}
	for got := range seen {
		if got != "" && got != before && got != "Completed"+code+"\n" {
			t.Errorf("a death leaves %q", got)
		}
	}
	if len(seen) != 3 {
		t.Errorf("killed at every call, it left %v", seen)
	}
}

// A file that usher may write but not read has its words nevertheless, in the
// place of what was there.
func TestLogThatMayNotBeRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	os.WriteFile(path, []byte("before\n"), 0o666)
	l := NewLog(path, true, false)
	for _, word := range []string{"first", "a second, longer one", "3"} {
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		st, err := f.Stat()
		if err != nil {
			t.Fatal(err)
		}
		if what, err := l.place(newFile(int(f.Fd()), int(st.Size())), &Record{Reason: Reason(word)}); err != nil {
			t.Fatal(what, err)
		}
		f.Close()
		if got := read(t, path); got != word+code+"\n" {
			t.Errorf("got %q", got)
		}
	}
}

// An app that writes all the time does not keep usher from its word.
func TestLogOfARestlessApp(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	l := NewLog(path, true, false)
	write(t, l, "the first word")
	var over atomic.Bool
	var app sync.WaitGroup
	app.Go(func() {
		f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			t.Error(err)
			return
		}
		defer f.Close()
		for !over.Load() {
			f.WriteString("x")
		}
	})
	for n := range 50 {
		word := fmt.Sprintf("word %d %s", n, strings.Repeat("word ", n%7))
		write(t, l, word)
		if got := read(t, path); !strings.HasPrefix(got, word+code+"\n") {
			t.Errorf("want %q, got %.100q", word, got)
		}
	}
	over.Store(true)
	app.Wait()
}

// An app that writes while usher does loses nothing, however long usher's
// system calls take to begin: each of them is held up in turn, while marks are
// appended all the time.
func TestLogWhileTheAppWrites(t *testing.T) {
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Skip(err)
	}
	const calls = "pread64,fcntl,write,pwrite64,ftruncate,close"
	if path := os.Getenv("LASTWORD_PATH"); path != "" {
		l := NewLog(path, true, false)
		os.WriteFile(path+".begun", nil, 0o600)
		for _, reason := range []string{"StopTimeout", "a longer word, of the stop", "a word", "the longest of all words of the stop"} {
			if err := l.Write(&Record{Reason: Reason(reason), Ahead: true}); err != nil {
				t.Fatal(err)
			}
		}
		os.WriteFile(path+".ahead", nil, 0o600)
		for _, err := os.Stat(path + ".over"); err != nil; _, err = os.Stat(path + ".over") {
			time.Sleep(time.Millisecond)
		}
		write(t, l, "Completed")
		return
	}
	dir := t.TempDir()
	held := 0
	for n := 2; ; n++ {
		path, trace := filepath.Join(dir, fmt.Sprint(n)), filepath.Join(dir, "trace")
		os.WriteFile(path, nil, 0o666)
		cmd := exec.Command(strace, "-f", "-qq", "-P", path, "-e", "trace="+calls, "-o", trace, "-e", fmt.Sprintf("inject=%s:delay_enter=5000:when=%d", calls, n/2),
			os.Args[0], "-test.run=^TestLogWhileTheAppWrites$")
		cmd.Env = append(os.Environ(), "LASTWORD_PATH="+path)
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		for n%2 == 0 { // the file is empty when usher begins
			if _, err := os.Stat(path + ".begun"); err == nil {
				break
			}
			time.Sleep(100 * time.Microsecond)
		}
		marks := ""
		for i := range 400 {
			if _, err := os.Stat(path + ".ahead"); err == nil {
				break
			}
			f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
			if err != nil {
				t.Fatal(err)
			}
			mark := fmt.Sprintf("m%d\n", i)
			f.WriteString(mark)
			f.Close()
			marks += mark
			time.Sleep(200 * time.Microsecond)
		}
		os.WriteFile(path+".over", nil, 0o600)
		if err := cmd.Wait(); err != nil {
			t.Fatalf("call %d: %v\n%s", n, err, &out)
		}
		if got := strings.ReplaceAll(read(t, path), " ", ""); got != strings.ReplaceAll("Completed"+code+"\n", " ", "")+marks {
			t.Errorf("call %d held up: %q, appended was %q", n/2, got, marks)
		}
		if !strings.Contains(read(t, trace), "DELAYED") {
			break
		}
		held++
	}
	if held < 20 {
		t.Errorf("%d calls were held up", held)
	}
}

// Kubelet keeps 4096 bytes. usher's line comes first, and no character is cut
// in two.
func TestLogSize(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	for shift := range 4 {
		l := NewLog(path, true, false)
		os.WriteFile(path, []byte(strings.Repeat("x", shift)+strings.Repeat("€", 3000)), 0o666)
		write(t, l, "word")
		write(t, l, "the last word")
		got := read(t, path)
		if len(got) > Size || len(got) < Size-3 || !utf8.ValidString(got) || !strings.HasPrefix(got, "the last word"+code+"\n"+strings.Repeat("x", shift)+"€") {
			t.Errorf("shift %d: %d bytes, %.30q", shift, len(got), got)
		}
	}
	l := NewLog(path, true, false)
	os.WriteFile(path, nil, 0o666)
	write(t, l, strings.Repeat("€", 3000))
	if got := read(t, path); len(got) > Size || !utf8.ValidString(got) || !strings.HasSuffix(got, "€\n") {
		t.Errorf("a long word: %d bytes", len(got))
	}
}

func FuzzTruncate(f *testing.F) {
	f.Add("a€", 2)
	f.Add("\x80\x80\x80", 1)
	f.Fuzz(func(t *testing.T, s string, n int) {
		if n < 0 {
			return
		}
		got := string(truncate([]byte(s), n))
		if len(got) > n || !strings.HasPrefix(s, got) || utf8.ValidString(s) && !utf8.ValidString(got) {
			t.Fatalf("%q cut to %d is %q", s, n, got)
		}
		if utf8.ValidString(s) && len(s) > n && len(got) < n-utf8.UTFMax+1 {
			t.Fatalf("%q cut to %d lost too much: %q", s, n, got)
		}
	})
}
