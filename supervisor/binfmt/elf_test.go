package binfmt

import (
	"bytes"
	"debug/elf"
	"io"
	"os"
	"strings"
	"testing"

	"usher/supervisor/binfmt/elftest"

	"golang.org/x/sys/unix"
)

func TestReadELF(t *testing.T) {
	for _, m := range machines {
		for _, loader := range []string{"", "/lib/ld.so.1", "/" + strings.Repeat("x", unix.PathMax-2)} {
			got := ReadELF(reader(elftest.File(m.id, m.class, m.order, loader)))
			if got != (Program{Machine: m.name, Loader: loader}) {
				t.Errorf("%s with %.20q: %+v", m.name, loader, got)
			}
		}
	}
	long := elftest.ForThisMachine("/" + strings.Repeat("x", unix.PathMax-1))
	if got := ReadELF(reader(long)); got.Broken != corrupt {
		t.Errorf("a loader with too long a name: %+v", got)
	}
	for _, c := range []struct {
		at   int
		to   string
		want string
	}{
		{4, "\x03", corrupt}, {4, "\x00", corrupt}, {5, "\x03", corrupt}, {5, "\x00", corrupt},
		{16, "\x01\x00", "an object file that has not been linked"},
		{16, "\x04\x00", corrupt},
		{32, strings.Repeat("\xff", 8), truncated}, {32, "\x00\x10", truncated}, {54, "\x20", corrupt},
		{56, "\x00\x00", corrupt}, {56, "\xff\xff", corrupt}, {56, "\x20\x00", truncated},
		{128, strings.Repeat("\xff", 8), truncated}, {152, "\xff\xff", corrupt},
		{152, "\x01", corrupt}, {152, "\x05", corrupt}, {152, "\x80", truncated}, {176, "\x00", corrupt},
	} {
		b := elftest.File(unix.EM_X86_64, 2, 1, "/lib/ld.so.1")
		if got := ReadELF(reader(b[:c.at] + c.to + b[c.at+len(c.to):])); got.Broken != c.want {
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

// Whatever the file contains, ReadELF does not panic, its reads are few and
// bounded, and the loader's name is from the file. Where debug/elf can read the
// file, both agree.
func FuzzELF(f *testing.F) {
	for _, m := range machines {
		f.Add([]byte(elftest.File(m.id, m.class, m.order, "/lib/ld.so")))
	}
	if b, err := os.ReadFile("/bin/true"); err == nil {
		f.Add(b[:min(len(b), 4096)])
	}
	f.Add([]byte("\x7fELF"))
	f.Fuzz(func(t *testing.T, b []byte) {
		reads := 0
		got := ReadELF(func(p []byte, offset int64) int {
			if reads++; reads > 3 || len(p) > 1<<16 {
				t.Fatalf("read %d of %d bytes", reads, len(p))
			}
			return reader(string(b))(p, offset)
		})
		if !bytes.Contains(b, []byte(got.Loader)) || len(got.Loader) > unix.PathMax ||
			got.Broken != "" && got.Loader != "" {
			t.Fatalf("%+v", got)
		}
		file, err := elf.NewFile(bytes.NewReader(b))
		if err != nil || got.Broken != "" {
			return
		}
		if want := machineOf(uint16(file.Machine), byte(file.Class), byte(file.Data)); got.Machine != want {
			t.Fatalf("machine %q, want %q", got.Machine, want)
		}
		for _, p := range file.Progs {
			if p.Type == elf.PT_INTERP {
				name, err := io.ReadAll(io.LimitReader(p.Open(), unix.PathMax))
				want, _, _ := strings.Cut(string(name), "\x00")
				if err != nil || got.Loader != want {
					t.Fatalf("loader %q, want %q, %v", got.Loader, want, err)
				}
				return
			}
		}
		if got.Loader != "" {
			t.Fatalf("loader %q, want none", got.Loader)
		}
	})
}
