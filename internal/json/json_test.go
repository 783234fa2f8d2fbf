package json

import (
	"encoding/json"
	"strings"
	"testing"
)

// As encoding/json reads it.
func FuzzAppendString(f *testing.F) {
	f.Add("a\"\\\n\t\x00\x7f€\xff😀", 100)
	f.Fuzz(func(t *testing.T, s string, room int) {
		b := AppendString(nil, s, room)
		var got string
		if err := json.Unmarshal(b, &got); err != nil {
			t.Fatalf("%v: %s", err, b)
		}
		whole := string([]rune(s))
		if !strings.HasPrefix(whole, got) || len(b)-2 > max(room, 0) || room > 6*len(s) && got != whole {
			t.Fatalf("%q in %d is %s", s, room, b)
		}
	})
}
