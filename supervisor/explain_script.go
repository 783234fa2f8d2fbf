package supervisor

import (
	"bytes"
	"strings"
)

// scriptHead is how much of a file the kernel reads to find out what it is (BINPRM_BUF_SIZE; 128 before Linux 5.1).
const scriptHead = 256

func isScript(head []byte) bool { return bytes.HasPrefix(head, []byte("#!")) }

// readScript takes a #! line apart as the kernel does (fs/binfmt_script.c): the interpreter's name ends at a space, a tab or a NUL,
// everything behind it is one argument, and a carriage return is a character as any other. whole is false where head has no room for
// the name; the kernel then refuses the file.
func readScript(head []byte) (interpreter, argument string, whole bool) {
	line, _, ended := bytes.Cut(head[2:], []byte("\n"))
	line = bytes.TrimLeft(line, " \t")
	i := strings.IndexAny(string(line), " \t\x00")
	if i < 0 {
		return string(line), "", ended || len(head) < scriptHead
	}
	rest, _, _ := bytes.Cut(line[i:], []byte{0})
	return string(line[:i]), string(bytes.Trim(rest, " \t")), true
}
