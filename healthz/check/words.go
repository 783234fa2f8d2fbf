package check

import (
	"errors"
	"fmt"
	"strings"
)

// Words splits a command into words at unquoted blanks, with the quotes and
// backslashes of the shell (POSIX, Shell Command Language, 2.2). It does
// nothing else that a shell does: no variables, no patterns, no comments. An
// operator on its own ("|", "&&") is an error, because its author expects a
// shell.
func Words(s string) ([]string, error) {
	if strings.IndexByte(s, 0) >= 0 {
		return nil, errors.New("an argument cannot have a NUL byte")
	}
	var words []string
	var word strings.Builder
	begun, quoted := false, false // state of the present word
	end := func() error {
		if !begun {
			return nil
		}
		w := word.String()
		if !quoted && isOperator(w) {
			return fmt.Errorf("%q is for a shell, and there is none: quote it, or run sh -c '...'", w)
		}
		words = append(words, w)
		word.Reset()
		begun, quoted = false, false
		return nil
	}
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch c {
		case ' ', '\t', '\n':
			if err := end(); err != nil {
				return nil, err
			}
			continue
		case '\'':
			n := strings.IndexByte(s[i+1:], '\'')
			if n < 0 {
				return nil, errors.New("a ' is not closed")
			}
			word.WriteString(s[i+1 : i+1+n])
			i += n + 1
			quoted = true
		case '"':
			n, err := doubleQuoted(&word, s[i+1:])
			if err != nil {
				return nil, err
			}
			i += n
			quoted = true
		case '\\':
			if i++; i == len(s) {
				return nil, errors.New("nothing follows the last \\")
			}
			if s[i] == '\n' { // a continued line
				continue
			}
			word.WriteByte(s[i])
			quoted = true
		default:
			word.WriteByte(c)
		}
		begun = true
	}
	if err := end(); err != nil {
		return nil, err
	}
	if len(words) == 0 || words[0] == "" {
		return nil, errors.New("no command given")
	}
	return words, nil
}

// doubleQuoted appends the text before the closing quote of s to word. It
// returns how many bytes of s it has used, with the quote.
func doubleQuoted(word *strings.Builder, s string) (int, error) {
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '"':
			return i + 1, nil
		case s[i] == '\\' && i+1 < len(s) && s[i+1] == '\n':
			i++
		case s[i] == '\\' && i+1 < len(s) && strings.IndexByte("$`\"\\", s[i+1]) >= 0:
			i++
			word.WriteByte(s[i])
		default:
			word.WriteByte(s[i])
		}
	}
	return 0, errors.New("a \" is not closed")
}

// isOperator reports whether s is an operator of the shell, such as && or 2>&1.
func isOperator(s string) bool {
	return strings.Trim(s, "|&;<>0123456789") == "" && strings.ContainsAny(s, "|&;<>")
}
