package supervisor

import (
	"bytes"
	"fmt"
	"runtime"

	"golang.org/x/sys/unix"
)

// program is what an ELF file says of itself, as far as execve(2) asks. debug/elf would say the same, for 60 kB more.
type program struct {
	machine string // what it is built for, as machineOf names it
	loader  string // the PT_INTERP; "" for a static program
	broken  string // what it is instead of a program, "" for one
}

// machines are those of elf(5), with the class and the byte order that tell relatives apart. The names are Go's, but for x86-64.
var machines = []struct {
	id           uint16
	class, order byte
	name         string
}{
	{unix.EM_X86_64, unix.ELFCLASS64, unix.ELFDATA2LSB, "x86-64"},
	{unix.EM_X86_64, unix.ELFCLASS32, unix.ELFDATA2LSB, "x32"},
	{unix.EM_386, unix.ELFCLASS32, unix.ELFDATA2LSB, "386"},
	{unix.EM_AARCH64, unix.ELFCLASS64, unix.ELFDATA2LSB, "arm64"},
	{unix.EM_ARM, unix.ELFCLASS32, unix.ELFDATA2LSB, "arm"},
	{unix.EM_RISCV, unix.ELFCLASS64, unix.ELFDATA2LSB, "riscv64"},
	{unix.EM_RISCV, unix.ELFCLASS32, unix.ELFDATA2LSB, "riscv32"},
	{unix.EM_PPC64, unix.ELFCLASS64, unix.ELFDATA2LSB, "ppc64le"},
	{unix.EM_PPC64, unix.ELFCLASS64, unix.ELFDATA2MSB, "ppc64"},
	{unix.EM_S390, unix.ELFCLASS64, unix.ELFDATA2MSB, "s390x"},
	{unix.EM_LOONGARCH, unix.ELFCLASS64, unix.ELFDATA2LSB, "loong64"},
	{unix.EM_MIPS, unix.ELFCLASS32, unix.ELFDATA2MSB, "mips"},
	{unix.EM_MIPS, unix.ELFCLASS32, unix.ELFDATA2LSB, "mipsle"},
	{unix.EM_MIPS, unix.ELFCLASS64, unix.ELFDATA2MSB, "mips64"},
	{unix.EM_MIPS, unix.ELFCLASS64, unix.ELFDATA2LSB, "mips64le"},
	{unix.EM_SPARCV9, unix.ELFCLASS64, unix.ELFDATA2MSB, "sparc64"},
}

func machineOf(id uint16, class, order byte) string {
	for _, m := range machines {
		if m.id == id && m.class == class && m.order == order {
			return m.name
		}
	}
	endian := "little"
	if order == unix.ELFDATA2MSB {
		endian = "big"
	}
	return fmt.Sprintf("machine %d (%d-bit, %s-endian)", id, 32*int(class), endian)
}

// thisMachine is usher's own, which the kernel runs.
func thisMachine() string {
	if runtime.GOARCH == "amd64" {
		return "x86-64"
	}
	return runtime.GOARCH
}

func isELF(head []byte) bool { return bytes.HasPrefix(head, []byte("\x7fELF")) }

const (
	truncated = "a truncated ELF file"
	corrupt   = "a corrupt ELF file"
)

// number reads one of size bytes. Beyond the end there are zeros.
//
//go:noinline
func number(b []byte, at, size int, order byte) (v uint64) {
	for i := range size {
		n := at + i
		if order == unix.ELFDATA2LSB {
			n = at + size - 1 - i
		}
		v <<= 8
		if n < len(b) {
			v |= uint64(b[n])
		}
	}
	return v
}

// readELF reads at most the header, 64 kB of program headers and the 4 kB of a path, as the kernel does (fs/binfmt_elf.c), and trusts
// none of it. read fills b from an offset on and returns how much there was.
func readELF(read func(b []byte, offset int64) int) (p program) {
	var header [64]byte
	n := read(header[:], 0)
	class, order := header[4], header[5]
	kind := number(header[:], 16, 2, order)
	p.machine = machineOf(uint16(number(header[:], 18, 2, order)), class, order)
	// Where things are in a 64-bit file, and in a 32-bit one.
	size, table, word, entry, offset, length := 64, 32, 8, 56, 8, 32
	if class == unix.ELFCLASS32 {
		size, table, word, entry, offset, length = 52, 28, 4, 32, 4, 16
	}
	all := entry * int(number(header[:], size-8, 2, order))
	switch {
	case n < size:
		p.broken = truncated
	case kind == 1:
		p.broken = "an object file that has not been linked"
	case kind != 2 && kind != 3, class-1 > 1, order-1 > 1, int(number(header[:], size-10, 2, order)) != entry, all == 0, all > 1<<16:
		p.broken = corrupt
	}
	if p.broken != "" {
		return p
	}
	headers := make([]byte, all)
	if read(headers, int64(number(header[:], table, word, order))) < all {
		p.broken = truncated
		return p
	}
	for at := 0; at < all; at += entry {
		if number(headers, at, 4, order) != unix.PT_INTERP {
			continue
		}
		// The kernel looks at the first one.
		n := number(headers, at+length, word, order)
		if n < 2 || n > unix.PathMax {
			p.broken = corrupt
			return p
		}
		name := make([]byte, n)
		if read(name, int64(number(headers, at+offset, word, order))) < len(name) {
			p.broken = truncated
			return p
		}
		i := bytes.IndexByte(name, 0)
		if i <= 0 || name[n-1] != 0 {
			p.broken = corrupt
			return p
		}
		p.loader = string(name[:i])
		return p
	}
	return p
}
