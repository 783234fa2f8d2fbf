// Package elftest makes ELF files for tests.
package elftest

import (
	"os"

	"golang.org/x/sys/unix"
)

// File returns a program with two program headers, the second of which names
// the loader.
func File(machine uint16, class, order byte, loader string) string {
	b := make([]byte, 64+2*56)
	put := func(at, size int, v uint64) {
		for i := range size {
			n := at + i
			if order == unix.ELFDATA2MSB {
				n = at + size - 1 - i
			}
			b[n] = byte(v >> (8 * i))
		}
	}
	copy(b, "\x7fELF")
	b[4], b[5], b[6] = class, order, 1
	put(16, 2, 2)
	put(18, 2, uint64(machine))
	if class == unix.ELFCLASS64 {
		put(32, 8, 64)
		put(54, 2, 56)
		put(56, 2, 2)
		put(64, 4, 6)
		put(64+56, 4, unix.PT_INTERP)
		put(64+56+8, 8, uint64(len(b)))
		put(64+56+32, 8, uint64(len(loader)+1))
	} else {
		put(28, 4, 64)
		put(42, 2, 32)
		put(44, 2, 2)
		put(64+32, 4, unix.PT_INTERP)
		put(64+32+4, 4, uint64(len(b)))
		put(64+32+16, 4, uint64(len(loader)+1))
	}
	if loader == "" {
		put(64+56, 4, 0)
		put(64+32, 4, 0)
	}
	return string(b) + loader + "\x00"
}

// ForThisMachine returns a program for the machine that runs the test.
func ForThisMachine(loader string) string {
	self, err := os.Open("/proc/self/exe")
	if err != nil {
		panic(err)
	}
	defer self.Close()
	var head [20]byte
	if _, err := self.ReadAt(head[:], 0); err != nil {
		panic(err)
	}
	class, order, machine := head[4], head[5], head[18:20]
	if order == unix.ELFDATA2MSB {
		return File(uint16(machine[0])<<8|uint16(machine[1]), class, order, loader)
	}
	return File(uint16(machine[1])<<8|uint16(machine[0]), class, order, loader)
}
