package check

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

func TestWords(t *testing.T) {
	for _, tt := range []struct {
		in   string
		want []string
	}{
		{"true", []string{"true"}},
		{"  pg_isready\t-q \n -U  app ", []string{"pg_isready", "-q", "-U", "app"}},
		{`sh -c 'echo "$HOME" | cat'`, []string{"sh", "-c", `echo "$HOME" | cat`}},
		{`a "b c" d\ e 'f'"g"h`, []string{"a", "b c", "d e", "fgh"}},
		{`a "" '' "b\"c\\d\$e\` + "`" + `f\g"`, []string{"a", "", "", `b"c\d$e` + "`" + `f\g`}},
		{"a b\\\nc \"d\\\ne\"", []string{"a", "bc", "de"}},
		{`a $HOME *.go ~ #x {b,c} d=e`, []string{"a", "$HOME", "*.go", "~", "#x", "{b,c}", "d=e"}},
		{`curl http://localhost/?a=b&c=d;e`, []string{"curl", "http://localhost/?a=b&c=d;e"}},
		{`echo '&&' "|" \; 'é' 世界`, []string{"echo", "&&", "|", ";", "é", "世界"}},
		{"\\\n a", []string{"a"}},
	} {
		got, err := Words(tt.in)
		if err != nil || !slices.Equal(got, tt.want) {
			t.Errorf("%q: %q, %v; want %q", tt.in, got, err, tt.want)
		}
	}
	for in, want := range map[string]string{
		"":               "no command given",
		" \t\n":          "no command given",
		"''":             "no command given",
		"a 'b":           "' is not closed",
		`a "b`:           `" is not closed`,
		`a "b\"`:         `" is not closed`,
		`a \`:            `nothing follows the last \`,
		"a\x00b":         "NUL",
		"a && b":         `"&&" is for a shell`,
		"cat x | wc":     `"|" is for a shell`,
		"make > log":     `">" is for a shell`,
		"make 2>&1":      `"2>&1" is for a shell`,
		"sleep 1 ; true": `";" is for a shell`,
	} {
		if got, err := Words(in); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %q, %v; want an error with %q", in, got, err, want)
		}
	}
}

// Words and sh split a text in the same way if nothing in it is special but
// quotes, blanks and backslashes.
func FuzzWords(f *testing.F) {
	for _, seed := range []string{"true", `a "b c" 'd\' \e`, "a\\\nb", `"\"\\\a"`, "''", "é ''x", "a\tb\n c"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		words, err := Words(s)
		if strings.Trim(s, "abcé \t\n'\"\\") != "" {
			return
		}
		out, shErr := exec.Command("sh", "-c", "printf '%s\\0' "+s).Output()
		if err != nil {
			return // stricter than sh: no words, an empty command, an open quote
		}
		if shErr != nil {
			// A line break ends a command for sh.
			if !strings.Contains(s, "\n") {
				t.Fatalf("%q: %q, sh says %v", s, words, shErr)
			}
			return
		}
		if got := strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00"); !strings.Contains(strings.ReplaceAll(s, "\\\n", ""), "\n") && !slices.Equal(got, words) {
			t.Fatalf("%q: %q, sh has %q", s, words, got)
		}
	})
}
