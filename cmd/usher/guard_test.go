package main_test

import (
	"debug/elf"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// usher goes into images FROM scratch, and its first promise is to be tiny. What each of these would cost is in kilobytes.
var tooHeavy = map[string]string{
	"net/http":      "3500: there is a small responder in healthz, and a small client in healthz/check",
	"crypto/tls":    "with net/http: belongs in usher-check",
	"encoding/json": "541: write the few lines of JSON by hand",
	"log/slog":      "401: there is a logger of lines",
	"log":           "it brings nothing that the logger does not have",
	"regexp":        "311",
	"text/template": "1450",
	"html/template": "1450 and more",
	"os/exec":       "274, and its Wait would compete with the one reaper",
	"os/signal":     "it can't see all signals: package signals has the kernel's queue",
	"runtime/pprof": "large, and no user has asked for it",
	"net":           "150: there are net/netip, healthz/socket and healthz/check/resolve",
	"flag":          "the flags are a list (settings.go), and getopt.go reads all command lines",

	"github.com/spf13/pflag": "150: it imports net",
}

// maxSize is the contract's: stripped, amd64.
const maxSize = 2_800_000

func TestNothingHeavyIsImported(t *testing.T) {
	cmd := exec.Command("go", "list", "-deps", "-tags", "usher_entry usher_threads usher_early", ".")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOARCH=amd64")
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	deps := strings.Fields(string(out))
	if !slices.Contains(deps, "usher/supervisor") {
		t.Fatalf("not a list of dependencies: %q", deps)
	}
	for _, dep := range deps {
		if why, ok := tooHeavy[dep]; ok {
			t.Errorf("usher imports %s: %s", dep, why)
		}
	}
}

// tooHeavyToCall are functions of packages that usher's own dependencies import; the linker leaves out what is not called.
var tooHeavyToCall = map[string]string{
	"errors.As":       "27: most errors are nobody's to wrap, a type switch does; errors.Unwrap in a loop for the rest",
	"os.ReadFile":     "9, and it opens descriptors: there is package file",
	"unicode.IsPrint": "14: strconv.IsPrint is the same, and there anyway",

	"context.(*cancelCtx)":              "20: there is internal/contexts",
	"golang.org/x/sys/unix.Getsockname": "28, for families that usher has no sockets of: healthz/socket has its own",
}

func TestNothingHeavyIsCalled(t *testing.T) {
	path := filepath.Join(t.TempDir(), "usher")
	build := exec.Command("go", "build", "-tags", "usher_entry usher_threads usher_early", "-ldflags", "-checklinkname=0 -E usher/signals/entry.entry", "-o", path, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOARCH=amd64")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	symbols, err := exec.Command("go", "tool", "nm", path).Output()
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(symbols), " T usher/supervisor.") {
		t.Fatal("not a list of symbols")
	}
	for name, why := range tooHeavyToCall {
		if strings.Contains(string(symbols), " T "+name+".") || strings.Contains(string(symbols), " T "+name+"\n") {
			t.Errorf("usher calls %s: %s", name, why)
		}
	}
}

func TestSize(t *testing.T) {
	st, err := os.Stat(made.path)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d bytes", st.Size())
	if st.Size() > maxSize {
		t.Errorf("usher has %d bytes, at most %d are promised", st.Size(), maxSize)
	}
}

// A static binary has no interpreter to be missing in an image from scratch.
func TestStatic(t *testing.T) {
	for _, b := range builds {
		if raceDetector && b == &plain {
			continue // needs cgo
		}
		f, err := elf.Open(b.path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		for _, program := range f.Progs {
			if program.Type == elf.PT_INTERP || program.Type == elf.PT_DYNAMIC {
				t.Errorf("%s is dynamically linked: %v", b.path, program.Type)
			}
		}
	}
}
