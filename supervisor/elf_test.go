package supervisor

import (
	"bytes"
	"debug/elf"
	"io"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestReadELF(t *testing.T) {
	for _, m := range machines {
		for _, loader := range []string{"", "/lib/ld.so.1", "/" + strings.Repeat("x", unix.PathMax-2)} {
			got := readELF(reader(elfFile(m.id, m.class, m.order, loader)))
			if got != (program{machine: m.name, loader: loader}) {
				t.Errorf("%s with %.20q: %+v", m.name, loader, got)
			}
		}
	}
	if got := readELF(reader(here("/" + strings.Repeat("x", unix.PathMax-1)))); got.broken != corrupt {
		t.Errorf("a loader with too long a name: %+v", got)
	}
	for _, c := range []struct {
		at   int
		to   string
		want string
	}{
		{4, "\x03", corrupt}, {4, "\x00", corrupt}, {5, "\x03", corrupt}, {5, "\x00", corrupt}, {16, "\x01\x00", "an object file that has not been linked"},
		{16, "\x04\x00", corrupt}, {32, strings.Repeat("\xff", 8), truncated}, {32, "\x00\x10", truncated}, {54, "\x20", corrupt},
		{56, "\x00\x00", corrupt}, {56, "\xff\xff", corrupt}, {56, "\x20\x00", truncated}, {128, "\xff\xff\xff\xff\xff\xff\xff\xff", truncated}, {152, "\xff\xff", corrupt},
		{152, "\x01", corrupt}, {152, "\x05", corrupt}, {152, "\x80", truncated}, {176, "\x00", corrupt},
	} {
		b := elfFile(unix.EM_X86_64, 2, 1, "/lib/ld.so.1")
		if got := readELF(reader(b[:c.at] + c.to + b[c.at+len(c.to):])); got.broken != c.want {
			t.Errorf("%q at %d: %+v, want %q", c.to, c.at, got, c.want)
		}
	}
}

func reader(s string) func(b []byte, offset int64) int {
	return func(b []byte, offset int64) int {
		n, _ := strings.NewReader(s).ReadAt(b, offset)
		return n
	}
}

// Whatever is in the file: no panic, few and bounded reads, nothing that is not in the file; and what Go's own package reads, where that reads it.
func FuzzELF(f *testing.F) {
	for _, m := range machines {
		f.Add([]byte(elfFile(m.id, m.class, m.order, "/lib/ld.so")))
	}
	if b, err := os.ReadFile("/bin/true"); err == nil {
		f.Add(b[:min(len(b), 4096)])
	}
	f.Add([]byte("\x7fELF"))
	f.Fuzz(func(t *testing.T, b []byte) {
		reads := 0
		got := readELF(func(p []byte, offset int64) int {
			if reads++; reads > 3 || len(p) > 1<<16 {
				t.Fatalf("read %d of %d bytes", reads, len(p))
			}
			return reader(string(b))(p, offset)
		})
		if !bytes.Contains(b, []byte(got.loader)) || len(got.loader) > unix.PathMax || got.broken != "" && got.loader != "" {
			t.Fatalf("%+v", got)
		}
		file, err := elf.NewFile(bytes.NewReader(b))
		if err != nil || got.broken != "" {
			return
		}
		if want := machineOf(uint16(file.Machine), byte(file.Class), byte(file.Data)); got.machine != want {
			t.Fatalf("machine %q, want %q", got.machine, want)
		}
		for _, p := range file.Progs {
			if p.Type == elf.PT_INTERP {
				name, err := io.ReadAll(io.LimitReader(p.Open(), unix.PathMax))
				want, _, _ := strings.Cut(string(name), "\x00")
				if err != nil || got.loader != want {
					t.Fatalf("loader %q, want %q, %v", got.loader, want, err)
				}
				return
			}
		}
		if got.loader != "" {
			t.Fatalf("loader %q, want none", got.loader)
		}
	})
}
