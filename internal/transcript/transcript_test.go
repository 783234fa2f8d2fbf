package transcript

import (
	"reflect"
	"testing"

	"usher/signals/testmain"
)

func TestMain(m *testing.M) { testmain.Main(m.Run) }

const page = "# Page\n```console\n$ echo a \\\n    b\na b\n$ true\n```\n$ no\n```sh\n$ no\n```\n"

func TestParse(t *testing.T) {
	want := []Step{{3, "echo a \\\n    b", []string{"a b"}}, {6, "true", nil}}
	if got := Parse(page); !reflect.DeepEqual(got, want) {
		t.Errorf("%v instead of %v", got, want)
	}
}

func TestCompare(t *testing.T) {
	for _, c := range []struct {
		shown []string
		got   string
		same  bool
	}{
		{nil, "anything\n", true},
		{[]string{"a"}, "a\n", true},
		{[]string{"a"}, "b\n", false},
		{[]string{"a"}, "a\nb\n", false},
		{[]string{"a", "b"}, "a\n", false},
		{[]string{"a"}, "", false},
		{[]string{"a…"}, "abc\n", true},
		{[]string{"a…"}, "b\n", false},
		{[]string{"up 1.5s, 3.1Mi"}, "up 1m2s, 200Ki\n", true},
		{[]string{"exit code 1"}, "exit code 2\n", false},
	} {
		if err := (Step{Output: c.shown}).Compare(c.got); (err == nil) != c.same {
			t.Errorf("%q shown, %q printed: %v", c.shown, c.got, err)
		}
	}
}

func TestShell(t *testing.T) {
	s, err := StartShell(t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ command, want string }{
		{"x=1; echo to stderr >&2", "to stderr\n"},
		{"echo $x; (exit 3)", "1\n"},
		{"echo $?; printf 'no newline'", "0\nno newline"},
		{"cat", ""},
		{"echo a \\\n  b # a comment", "a b\n"},
	} {
		if got, err := s.Run(c.command); err != nil || got != c.want {
			t.Errorf("%s: %q, %v", c.command, got, err)
		}
	}
	if err := s.Try(Step{Command: "x=$((x + 1)); echo $x", Output: []string{"3"}}, true); err != nil {
		t.Error(err)
	}
	if err := s.Try(Step{Command: "echo a", Output: []string{"b"}}, false); err == nil {
		t.Error("a difference is not noticed")
	}
	if _, err := s.Run("exit 1"); err == nil {
		t.Error("the end of the shell is not noticed")
	}
	if err := s.Close(); err == nil {
		t.Error("no exit code")
	}
}
