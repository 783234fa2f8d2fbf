package spelling

import (
	"strings"
	"testing"
)

func TestNearest(t *testing.T) {
	flags := []string{"term-delay", "ready-period", "ready-check", "quiet", "quiet-period", "user", "plan"}
	for word, want := range map[string]string{
		"term-dely": "term-delay", "termdelay": "term-delay", "term_delay": "term-delay", "Term-Delay": "term-delay", "tremdelay": "term-delay",
		"ready-perod": "ready-period", "qiuet": "quiet", "usr": "user", "plna": "plan", "user": "user",
		"": "", "x": "", "us": "", "foo": "", "nonsense": "", "delay": "", strings.Repeat("user", 100): "",
	} {
		if got := Nearest(word, flags); got != want {
			t.Errorf("%q: got %q, want %q", word, got, want)
		}
	}
	if got := DidYouMean("--", "usr", flags) + DidYouMean("--", "x", flags) + DidYouMean("--", "user", flags); got != " (did you mean --user?)" {
		t.Errorf("got %q", got)
	}
}

// slow is the distance by its definition.
func slow(a, b string) int {
	if a == "" || b == "" {
		return len(a) + len(b)
	}
	i, j := len(a)-1, len(b)-1
	if a[i] == b[j] {
		return slow(a[:i], b[:j])
	}
	d := 1 + min(slow(a[:i], b[:j]), slow(a[:i], b), slow(a, b[:j]))
	if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
		d = min(d, 1+slow(a[:i-1], b[:j-1]))
	}
	return d
}

func FuzzDistance(f *testing.F) {
	f.Add("htp", "http")
	f.Add("ab", "ba")
	f.Add("", "tcp")
	f.Fuzz(func(t *testing.T, a, b string) {
		a, b = a[:min(len(a), 7)], b[:min(len(b), 7)]
		if got, want := distance(a, b), slow(a, b); got != want || got != distance(b, a) {
			t.Errorf("%q, %q: got %d, want %d", a, b, got, want)
		}
		if near := Nearest(a, []string{b}); near != "" && slow(strings.ToLower(a), strings.ToLower(b)) > len(a)/3 {
			t.Errorf("%q is not near %q", b, a)
		}
	})
}
