// Package binfmt tells what kind of program a file is, by the rules that
// execve(2) follows.
package binfmt

import (
	"bytes"
	"fmt"
	"runtime"

	"golang.org/x/sys/unix"
)

// Program describes an ELF file as far as execve(2) looks at it. Package
// debug/elf would tell the same, and make usher larger.
type Program struct {
	Machine string // the name of the machine it is built for
	Loader  string // its dynamic loader (PT_INTERP); "" for a static program
	Broken  string // why it is no program, such as "a corrupt ELF file"; "" for a program
}

// machines names the machines of elf(5). Some share a number, and differ in
// class or byte order. The names are those of GOARCH, except for x86-64.
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

// machineOf returns the name of a machine, or its number where it is unknown.
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

// ThisMachine returns the name of the machine that usher is built for.
func ThisMachine() string {
	if runtime.GOARCH == "amd64" {
		return "x86-64"
	}
	return runtime.GOARCH
}

// IsELF reports whether a file that begins with head is an ELF file.
func IsELF(head []byte) bool { return bytes.HasPrefix(head, []byte("\x7fELF")) }

const (
	truncated = "a truncated ELF file"
	corrupt   = "a corrupt ELF file"
)

// number decodes the number of size bytes at b[at:]. Bytes beyond the end of b
// count as zeros.
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

// ReadELF describes an ELF file. It reads what the kernel reads
// (fs/binfmt_elf.c): the header, at most 64 kB of program headers, and at most
// 4 kB of the loader's path. Nothing in the file is trusted. The function read
// fills b with what the file has at the offset, and returns the number of bytes
// read.
func ReadELF(read func(b []byte, offset int64) int) (p Program) {
	var header [64]byte
	n := read(header[:], 0)
	class, order := header[4], header[5]
	kind := number(header[:], 16, 2, order)
	p.Machine = machineOf(uint16(number(header[:], 18, 2, order)), class, order)
	// The header's size, then the offsets of fields in a 64-bit and in a 32-bit
	// file.
	size, table, word, entry, offset, length := 64, 32, 8, 56, 8, 32
	if class == unix.ELFCLASS32 {
		size, table, word, entry, offset, length = 52, 28, 4, 32, 4, 16
	}
	all := entry * int(number(header[:], size-8, 2, order))
	switch {
	case n < size:
		p.Broken = truncated
	case kind == 1:
		p.Broken = "an object file that has not been linked"
	case kind != 2 && kind != 3, class-1 > 1, order-1 > 1,
		int(number(header[:], size-10, 2, order)) != entry, all == 0, all > 1<<16:
		p.Broken = corrupt
	}
	if p.Broken != "" {
		return p
	}
	headers := make([]byte, all)
	if read(headers, int64(number(header[:], table, word, order))) < all {
		p.Broken = truncated
		return p
	}
	for at := 0; at < all; at += entry {
		if number(headers, at, 4, order) != unix.PT_INTERP {
			continue
		}
		// The kernel uses the first PT_INTERP.
		n := number(headers, at+length, word, order)
		if n < 2 || n > unix.PathMax {
			p.Broken = corrupt
			return p
		}
		name := make([]byte, n)
		if read(name, int64(number(headers, at+offset, word, order))) < len(name) {
			p.Broken = truncated
			return p
		}
		i := bytes.IndexByte(name, 0)
		if i <= 0 || name[n-1] != 0 {
			p.Broken = corrupt
			return p
		}
		p.Loader = string(name[:i])
		return p
	}
	return p
}
