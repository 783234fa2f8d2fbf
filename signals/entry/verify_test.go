package entry_test

import (
	"debug/dwarf"
	"debug/elf"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// What the entry point takes for granted of the Go runtime, asked of the linked
// program: nothing has to run, so that it is known for every architecture,
// without root. VERIFY.md has the list; a test's name is the assumption that
// does not hold.
func TestAssumptions(t *testing.T) {
	for _, arch := range []string{"amd64", "arm64"} {
		t.Run(arch, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "usher")
			build := exec.Command("go", "build", "-tags", "usher_entry usher_threads usher_early usher_entry_unverified", "-ldflags", "-checklinkname=0 -E usher/signals/entry.entry", "-o", path, "usher/cmd/usher")
			build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+arch)
			if out, err := build.CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			program, err := elf.Open(path)
			if err != nil {
				t.Fatal(err)
			}
			defer program.Close()
			list, err := program.Symbols()
			if err != nil {
				t.Fatal(err)
			}
			symbols, first := map[string]elf.Symbol{}, ""
			for _, s := range list {
				symbols[s.Name] = s
				if s.Value == program.Entry && elf.ST_TYPE(s.Info) == elf.STT_FUNC {
					first = s.Name
				}
			}
			t.Run("entry point", func(t *testing.T) {
				if !strings.HasPrefix(first, "usher/signals/entry.entry") {
					t.Errorf("the program begins with %q", first)
				}
			})
			t.Run("signal table", func(t *testing.T) {
				table := symbols["runtime.sigtable"]
				if table.Size != 65*24 {
					t.Fatalf("it has %d bytes, not 65 entries of 24", table.Size)
				}
				for sig, want := range map[uint64]string{1: "SIGHUP: terminal line hangup", 23: "SIGURG: urgent condition on socket", 64: "signal 64"} {
					entry := read(t, program, table.Value+sig*24, 24)
					at, n := program.ByteOrder.Uint64(entry[8:]), program.ByteOrder.Uint64(entry[16:])
					if got := string(read(t, program, at, min(n, 64))); got != want {
						t.Errorf("the name of entry %d, 8 bytes into it, is %q, not %q", sig, got, want)
					}
				}
			})
			t.Run("clone", func(t *testing.T) {
				out, err := exec.Command("go", "tool", "objdump", "-s", `^runtime\.clone(\.abi0)?$`, path).Output()
				if err != nil {
					t.Fatal(err)
				}
				if !regexp.MustCompile(`^TEXT runtime\.clone(?:\.abi0)?\(SB\) .*signals/entry/\w+_` + arch + `\.s\n`).Match(out) {
					head, _, _ := strings.Cut(string(out), "\n")
					t.Errorf("not ours is linked: %s", head)
				}
			})
			t.Run("memory profile", func(t *testing.T) {
				if s := symbols["runtime.MemProfileRate"]; s.Size != 8 {
					t.Errorf("runtime.MemProfileRate has %d bytes", s.Size)
				}
			})
			t.Run("stack guard", func(t *testing.T) {
				if got, err := offset(program, "runtime.g", "stackguard0"); got != 16 || err != nil {
					t.Errorf("it is at %d of g, not at 16 (%v)", got, err)
				}
			})
		})
	}
}

// read returns n bytes of the program as they are in memory at address.
func read(t *testing.T, program *elf.File, address, n uint64) []byte {
	t.Helper()
	for _, s := range program.Sections {
		if s.Type == elf.SHT_PROGBITS && s.Addr <= address && address+n <= s.Addr+s.Size {
			b := make([]byte, n)
			if _, err := s.ReadAt(b, int64(address-s.Addr)); err != nil {
				t.Fatal(err)
			}
			return b
		}
	}
	t.Fatalf("no section has %#x", address)
	return nil
}

// offset is where a field lies in a struct, by the program's own account.
func offset(program *elf.File, name, field string) (int64, error) {
	data, err := program.DWARF()
	if err != nil {
		return 0, err
	}
	for r := data.Reader(); ; {
		entry, err := r.Next()
		if err != nil || entry == nil {
			return 0, fmt.Errorf("no type %s (%v)", name, err)
		}
		if entry.Tag != dwarf.TagStructType || entry.Val(dwarf.AttrName) != name {
			continue
		}
		typ, err := data.Type(entry.Offset)
		if err != nil {
			return 0, err
		}
		for _, f := range typ.(*dwarf.StructType).Field {
			if f.Name == field {
				return f.ByteOffset, nil
			}
		}
		return 0, fmt.Errorf("no field %s", field)
	}
}
