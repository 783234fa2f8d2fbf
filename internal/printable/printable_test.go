package printable

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

func TestPrintable(t *testing.T) {
	for in, want := range map[string]string{
		"plain ümläut “quoted” 漢字 🏴":               "plain ümläut “quoted” 漢字 🏴",
		"می\u200cخواهم 👨\u200d👩\u200d👧":            "می\u200cخواهم 👨\u200d👩\u200d👧", // joiners
		"\x1b[31mred\x1b[0m":                       " [31mred [0m",
		"\x1b]0;title\x07\x1b]8;;http://x\x1b\\":   " ]0;title  ]8;;http://x \\",
		"100%\rdone\r":                             "100% done ",
		"nul\x00del\x7fcsi\u009b31m nel\u0085":     "nul del csi 31m nel ",
		"rtl\u202eevil\u202c \u2066x\u2069 \u200f": "rtl evil   x   ",
		"\u061c\u200e\u2028\u2029\ufeff\u200b":     "      ",
		"bad \xff\xc0\x80 \xed\xa0\x80 \xe2\x82":   "bad \ufffd\ufffd\ufffd \ufffd\ufffd\ufffd \ufffd\ufffd",
		"a\tb\nc":                                  "a b c",
	} {
		if got := Line(in); got != want {
			t.Errorf("%q became %q, want %q", in, got, want)
		}
	}
	if got := Tabbed("a\tb\nc\x1b"); got != "a\tb c " {
		t.Errorf("%q", got)
	}
	if got := Text("a\tb\nc\x1b"); got != "a\tb\nc " {
		t.Errorf("%q", got)
	}
}

func FuzzPrintable(f *testing.F) {
	f.Add("\x1b[31m\u202e\r\n\u009b\xff")
	f.Fuzz(func(t *testing.T, s string) {
		line, tabbed, text := Line(s), Tabbed(s), Text(s)
		blank := strings.NewReplacer("\t", " ", "\n", " ")
		if blank.Replace(tabbed) != line || blank.Replace(text) != line {
			t.Errorf("%q became %q, %q and %q", s, line, tabbed, text)
		}
		if !utf8.ValidString(line) || utf8.RuneCountInString(line) != utf8.RuneCountInString(s) {
			t.Errorf("%q became %q", s, line)
		}
		for _, r := range line {
			if unicode.In(r, unicode.Cc, unicode.Bidi_Control, unicode.Zl, unicode.Zp) {
				t.Errorf("%q became %q", s, line)
			}
		}
		if Line(line) != line {
			t.Errorf("%q became %q, and that something else", s, line)
		}
	})
}
