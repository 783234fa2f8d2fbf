package lastword

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// The names are a promise: docs/reference/last-word.md has them.
func TestJSON(t *testing.T) {
	r := Record{
		Reason: StopTimeout, Message: "m", Hint: "h", ExitCode: 137, AppCode: 143, Signal: "SIGKILL", Sender: "sh (pid 9, uid 0)", Core: true, Phase: "killing", Uptime: 3722100 * time.Millisecond,
		Restarts: 2, CPU: 40 * time.Millisecond, RSS: 1 << 20,
		Memory:     Memory{Limit: 3, Usage: 1, Peak: 2, Reached: time.Unix(1e9, 0), Largest: "java (pid 7) 118Mi", Kills: 1, Victim: "java (pid 7)", Whole: true, Elsewhere: true},
		Stop:       &Stop{Signal: "SIGTERM", Sender: "outside the container", Hold: 10 * time.Second, HoldOver: "second SIGTERM", Held: time.Second, Sent: "SIGQUIT", Took: 1500 * time.Microsecond, Grace: 29500 * time.Millisecond},
		StillThere: []Process{{7, "re\"dis", "D", "nfs_wait"}}, Killed: []Process{{PID: 8, Name: "sh"}},
		Stderr: []byte("last\nwords\n"),
	}
	const want = `{"reason":"StopTimeout","exitCode":137,"appExitCode":143,"message":"m","hint":"h","signal":"SIGKILL","sender":"sh (pid 9, uid 0)","coreDumped":true,"phase":"killing","uptimeSeconds":3722.1,"restarts":2,` +
		`"stop":{"signal":"SIGTERM","sender":"outside the container","holdSeconds":10,"heldSeconds":1,"holdEnded":"second SIGTERM","sent":"SIGQUIT","tookSeconds":0.002,"killedAfterSeconds":29.5},` +
		`"memory":{"kills":1,"victim":"java (pid 7)","killsWholeContainer":true,"notByOwnLimit":true,"limitReachedAt":"2001-09-09T01:46:40Z","largest":"java (pid 7) 118Mi","limitBytes":3,"peakBytes":2,"usedBytes":1},` +
		`"peakMemoryBytes":1048576,"cpuSeconds":0.04,"stillThere":[{"pid":7,"name":"re\"dis","state":"D","waitsIn":"nfs_wait"}],"killed":[{"pid":8,"name":"sh"}],` +
		`"appMessage":"disk \"full\"\n","stderr":"last\nwords\n"}` + "\n"
	if got := string(r.appendJSON([]byte("disk \"full\"\n"))); got != want {
		t.Errorf("got  %swant %s", got, want)
	}
	if got := string((&Record{Reason: Completed}).appendJSON(nil)); got != `{"reason":"Completed","exitCode":0}`+"\n" {
		t.Errorf("got %s", got)
	}
	if got := string((&Record{Reason: StopTimeout, Ahead: true}).appendJSON(nil)); got != `{"reason":"StopTimeout","endedFromOutside":true}`+"\n" {
		t.Errorf("got %s", got)
	}
}

// Whatever is in it, and however long, the file is one JSON object of 4096
// bytes at most, with usher's part whole.
func FuzzJSON(f *testing.F) {
	f.Add("cannot start \"x\"", []byte("disk full\n"), []byte("one\ntwo\n"))
	f.Add("\x00\x01\xff€", bytes.Repeat([]byte("€\x00\""), 3000), []byte("tail"))
	f.Add(strings.Repeat("\x01", 5000), []byte{}, bytes.Repeat([]byte("line\n"), 3000))
	f.Fuzz(func(t *testing.T, message string, app, tail []byte) {
		many := make([]Process, 9)
		for i := range many {
			many[i] = Process{PID: i + 1, Name: "a name of 15 by", State: "D", WaitsIn: "a_function_of_the_kernel"}
		}
		r := &Record{Reason: HookFailed, Message: message, Hint: message, ExitCode: 1, StillThere: many, Killed: many, Stderr: tail,
			Stop: &Stop{Signal: "SIGTERM", Sender: "outside the container", HoldOver: message, Hold: time.Hour, Held: time.Minute, Sent: "SIGTERM", Took: time.Minute, Grace: time.Minute}}
		b := r.appendJSON(app)
		var got struct {
			Reason, Message, AppMessage, Stderr string
			Killed                              []struct{ PID int }
		}
		if err := json.Unmarshal(b, &got); err != nil || !utf8.Valid(b) {
			t.Fatalf("%v: %s", err, b)
		}
		if len(b) > Size || got.Reason != "HookFailed" || len(got.Killed) != listed {
			t.Fatalf("%d bytes: %s", len(b), b)
		}
		valid := func(s string) string { return string([]rune(s)) }
		if !strings.HasPrefix(valid(message), got.Message) || !strings.HasPrefix(valid(string(app)), got.AppMessage) || !strings.HasSuffix(valid(string(tail)), got.Stderr) {
			t.Fatalf("something else: %s", b)
		}
		if text := r.appendText(app); len(text) > Size || !strings.HasPrefix(string(text), "HookFailed: ") {
			t.Fatalf("%d bytes of text: %s", len(text), text)
		}
	})
}

// What the app adds is found again, and what it writes is a part of the object.
func TestJSONLog(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	l := NewLog(path, true, true)
	write(t, l, "first")
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	f.WriteString("the app's\n")
	f.Close()
	for _, reason := range []string{"second", "3rd", "fourth and longer"} {
		write(t, l, reason)
		if got := read(t, path); got != `{"reason":"`+reason+`","exitCode":0,"appMessage":"the app's\n"}`+"\n" {
			t.Errorf("got %s", got)
		}
	}
	if err := l.Write(&Nothing); err != nil || read(t, path) != "the app's\n" {
		t.Errorf("cleared: %v, %q", err, read(t, path))
	}
}

// The end of stderr comes last, takes what room there is, and is cut at its
// beginning, at a line's if there is one.
func TestStderr(t *testing.T) {
	for _, c := range []struct{ app, stderr, want string }{
		{"", "one\ntwo\n", "word: exit code 0\nlast of stderr:\none\ntwo\n"},
		{"own", "one\ntwo", "word: exit code 0\nown\nlast of stderr:\none\ntwo"},
		{"", "\x1b[31mred\xff\n", "word: exit code 0\nlast of stderr:\n [31mred\ufffd\n"},
		{strings.Repeat("x", 4050), "one\ntwo\nthree\n", "word: exit code 0\n" + strings.Repeat("x", 4050) + "\nlast of stderr:\ntwo\nthree\n"},
		{strings.Repeat("x", 4055), "a long line", "word: exit code 0\n" + strings.Repeat("x", 4055) + "\nlast of stderr:\ng line"},
		{strings.Repeat("x", 5000), "one", "word: exit code 0\n" + strings.Repeat("x", 4096-18)},
	} {
		got := string((&Record{Reason: "word", Stderr: []byte(c.stderr)}).appendText([]byte(c.app)))
		if got != c.want {
			t.Errorf("%d bytes, %q: …%q", len(c.app), c.stderr, got[max(0, len(got)-60):])
		}
	}
}

// fill sets all that a value has to something that is not nothing.
func fill(v reflect.Value) {
	switch v.Kind() {
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			v.Set(reflect.ValueOf(time.Unix(1, 0)))
			return
		}
		for i := range v.NumField() {
			fill(v.Field(i))
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem())
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0))
	case reflect.String:
		v.SetString("x")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int64:
		v.SetInt(int64(time.Second))
	default:
		v.Set(reflect.ValueOf(1).Convert(v.Type()))
	}
}

// Every name there is in the object is one that the documentation has.
func TestJSONNamesAreDocumented(t *testing.T) {
	page, err := os.ReadFile("../../docs/reference/last-word.md")
	if err != nil {
		t.Fatal(err)
	}
	var ended, ahead Record
	fill(reflect.ValueOf(&ended).Elem())
	ahead = ended
	ended.Ahead = false
	names := map[string]bool{}
	for _, r := range []*Record{&ended, &ahead} {
		for _, m := range regexp.MustCompile(`"(\w+)":`).FindAllSubmatch(r.appendJSON([]byte("app")), -1) {
			names[string(m[1])] = true
		}
	}
	if len(names) < 35 {
		t.Errorf("only %d names: %v", len(names), names)
	}
	for name := range names {
		if !bytes.Contains(page, []byte("`"+name+"`")) {
			t.Errorf("docs/reference/last-word.md does not have %q", name)
		}
	}
}

// The timeline takes the room that there is, the last events first, and leaves
// half of it to what the app has written.
func TestTimeline(t *testing.T) {
	r := Record{Reason: Completed}
	for i := range 200 {
		r.Timeline = append(r.Timeline, fmt.Appendf(nil, `{"at":%d,"event":"ready"}`, i))
	}
	for _, c := range []struct {
		app, stderr string
		least, most int
	}{
		{"", "", 130, 160},
		{strings.Repeat("x", 5000), "", 60, 80},
		{"", strings.Repeat("x", 5000), 60, 80},
	} {
		r.Stderr = []byte(c.stderr)
		b := r.appendJSON([]byte(c.app))
		var got struct {
			Timeline []struct{ At int }
		}
		if err := json.Unmarshal(b, &got); err != nil || len(b) > Size {
			t.Fatalf("%v: %d bytes: %s", err, len(b), b)
		}
		n := len(got.Timeline)
		if n < c.least || n > c.most || got.Timeline[n-1].At != 199 || got.Timeline[0].At != 200-n {
			t.Errorf("%d events: %s", n, b)
		}
	}
}
