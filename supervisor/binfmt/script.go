package binfmt

import (
	"bytes"
	"strings"
)

// HeadSize is the number of bytes that the kernel reads from the beginning of a
// file to find out what it is (BINPRM_BUF_SIZE; 128 before Linux 5.1).
const HeadSize = 256

// IsScript reports whether a file that begins with head names an interpreter.
func IsScript(head []byte) bool { return bytes.HasPrefix(head, []byte("#!")) }

// ReadScript splits a #! line as the kernel does (fs/binfmt_script.c). The name
// of the interpreter ends at a space, a tab or a NUL. Everything after it is a
// single argument. A carriage return is an ordinary character. If the name does
// not fit into head, whole is false, and the kernel refuses the file.
func ReadScript(head []byte) (interpreter, argument string, whole bool) {
	line, _, ended := bytes.Cut(head[2:], []byte("\n"))
	line = bytes.TrimLeft(line, " \t")
	i := strings.IndexAny(string(line), " \t\x00")
	if i < 0 {
		return string(line), "", ended || len(head) < HeadSize
	}
	rest, _, _ := bytes.Cut(line[i:], []byte{0})
	return string(line[:i]), string(bytes.Trim(rest, " \t")), true
}
