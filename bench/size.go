package main

import (
	"cmp"
	"debug/elf"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// printSizes prints the size of each package in a binary with symbols: its own
// symbols, and its share of the runtime's tables of all code, in proportion to
// its code.
func printSizes(path string) error {
	f, err := elf.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	symbols, err := f.Symbols()
	if err != nil {
		return err
	}
	own, code, total := map[string]uint64{}, map[string]uint64{}, uint64(0)
	var tables uint64
	for _, s := range f.Sections {
		if s.Name == ".gopclntab" {
			tables = s.Size
		}
	}
	for _, s := range symbols {
		if s.Section >= elf.SHN_LORESERVE || int(s.Section) >= len(f.Sections) ||
			f.Sections[s.Section].Type == elf.SHT_NOBITS {
			continue // not in the file
		}
		name := packageOf(s.Name)
		if name == "go:func.*" {
			tables += s.Size // stack maps and the like
			continue
		}
		own[name] += s.Size
		if f.Sections[s.Section].Name == ".text" {
			code[name] += s.Size
			total += s.Size
		}
	}
	size := func(name string) uint64 { return own[name] + tables*code[name]/total }
	names := slices.SortedFunc(maps.Keys(own), func(x, y string) int { return -cmp.Compare(size(x), size(y)) })
	var all uint64
	for _, name := range names {
		all += size(name)
		if size(name) >= 1000 {
			fmt.Printf("%9d  %s\n", size(name), name)
		}
	}
	fmt.Printf("%9d  in all\n", all)
	return nil
}

// packageOf returns the package of a symbol. A dot in the last element of the
// path ends it.
func packageOf(symbol string) string {
	if strings.HasPrefix(symbol, "go:") || strings.HasPrefix(symbol, "type:") {
		return strings.SplitAfter(symbol, "*")[0]
	}
	symbol, _, _ = strings.Cut(symbol, "[") // the arguments of a generic function have packages as well
	slash := strings.LastIndexByte(symbol, '/') + 1
	name, _, _ := strings.Cut(symbol[slash:], ".")
	return symbol[:slash] + name
}
