// Package json writes JSON (RFC 8259): strings, and objects member by member.
// It exists because encoding/json would make usher much larger.
package json

import (
	"math"
	"strconv"
	"time"
	"unicode/utf8"

	"usher/internal/printable"
)

// AppendString appends s as a JSON string, of which the part between the quotes
// takes at most room bytes. Characters that are not printable are escaped.
// Bytes that are not UTF-8 become U+FFFD.
func AppendString(b []byte, s string, room int) []byte {
	b = append(b, '"')
	for _, r := range s { // an invalid byte is utf8.RuneError
		if room -= EncodedLen(r); room < 0 {
			break
		}
		switch {
		case r == '"' || r == '\\':
			b = append(b, '\\', byte(r))
		case r == '\n':
			b = append(b, '\\', 'n')
		case r == '\t':
			b = append(b, '\\', 't')
		case printable.Rune(r) != r:
			const hex = "0123456789abcdef"
			b = append(b, '\\', 'u', hex[r>>12], hex[r>>8&15], hex[r>>4&15], hex[r&15])
		default:
			b = utf8.AppendRune(b, r)
		}
	}
	return append(b, '"')
}

// EncodedLen returns how many bytes of a JSON string r takes.
func EncodedLen(r rune) int {
	switch {
	case r == '"' || r == '\\' || r == '\n' || r == '\t':
		return 2
	case printable.Rune(r) != r: // none of these is above U+FFFF
		return 6
	}
	return utf8.RuneLen(r)
}

// Object is a JSON object or array under construction. Members that are zero
// are left out.
type Object []byte

// most is how many bytes of a long string are kept: of an error, or of a hook's
// last line.
const most = 800

// Name begins a member. With an empty name it begins an element of an array.
func (o *Object) Name(name string) {
	if b := *o; len(b) > 0 && b[len(b)-1] != '{' && b[len(b)-1] != '[' {
		*o = append(*o, ',')
	}
	if name != "" {
		*o = append(AppendString(*o, name, most), ':')
	}
}

// Begin begins a member that is an object or an array.
func (o *Object) Begin(name string, bracket byte) {
	o.Name(name)
	*o = append(*o, bracket)
}

// End ends an object or an array.
func (o *Object) End(bracket byte) { *o = append(*o, bracket) }

// String adds a string, or its first 800 bytes.
func (o *Object) String(name, s string) {
	if s != "" {
		o.Name(name)
		*o = AppendString(*o, s, most)
	}
}

// Uint adds a number.
func (o *Object) Uint(name string, n uint64) {
	if n != 0 {
		o.Int(name, int64(n))
	}
}

// Int adds a number, even zero.
func (o *Object) Int(name string, n int64) {
	o.Name(name)
	*o = strconv.AppendInt(*o, n, 10)
}

// Bool adds true, or nothing.
func (o *Object) Bool(name string, set bool) {
	if set {
		o.Name(name)
		*o = append(*o, "true"...)
	}
}

// Seconds adds a time in seconds, with milliseconds.
func (o *Object) Seconds(name string, d time.Duration) {
	if d > 0 {
		o.Moment(name, d)
	}
}

// Moment adds a time in seconds, with milliseconds, even zero.
func (o *Object) Moment(name string, d time.Duration) {
	o.Name(name)
	*o = strconv.AppendFloat(*o, math.Round(d.Seconds()*1000)/1000, 'f', -1, 64)
}
